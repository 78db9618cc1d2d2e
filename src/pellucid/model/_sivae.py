from __future__ import annotations

from typing import TYPE_CHECKING, cast

import numpy as np
import pandas as pd
import torch

from pellucid._compat import setup_anndata_dsp
from pellucid._validate import check_expression, expression_matrix
from pellucid.module import SIVAEModule
from pellucid.train import SIVAETrainingPlan, seeded

from ._covariates import CovariatesMixin
from ._moments import moments
from ._query import QueryMixin
from ._staged_training import StagedAutoencoder

if TYPE_CHECKING:
    from collections.abc import Sequence
    from contextlib import AbstractContextManager
    from typing import Literal

    from anndata import AnnData
    from torch import Tensor

    from pellucid.module._sivae import Decoder, Likelihood

_GENE_INPUTS = 100


class SIVAE(CovariatesMixin, QueryMixin, StagedAutoencoder):
    r"""Cells and genes embedded together :cite:p:`Choi2023`.

    Two variational autoencoders, one of cells and one of genes. A cell's expression of a gene is
    the product of what the two decoders make of their embeddings:

    .. math::

        x_{cf} \sim N\left(v_{f,L}^T z_{c,L}, \sigma_d(z_{c,L})\right)

    with :math:`z_{c,1}` a cell's scores and :math:`v_{f,1}` a gene's loadings. A small term of the
    loss asks that :math:`v_{f,1}^T z_{c,1}` approximates :math:`x_{cf}` too, which ties dimension
    `k` of the genes to dimension `k` of the cells: loadings are read as those of a principal
    component, though both decoders are deep.

    Parameters
    ----------
    adata
        AnnData registered via :meth:`~pellucid.model.SIVAE.setup_anndata`: log-normalised or
        scaled expression of, say, 2,000 highly variable genes, or counts for `likelihood="nb"`.
    n_latent
        Number of units. 2 to look at, as in the paper's figures; 16 to 64 for gene networks.
    likelihood
        * ``'normal'`` - log expression, with one variance for each cell (equation 8). The model
          centres genes and divides all by one number, and does the same to new cells. The paper
          scales each gene to variance 1: for that, pass scaled data
          (:func:`scanpy.pp.scale` with `max_value=10`). Of some thousand cells, units then have
          to explain the noise of rare genes, and populations separate worse.
        * ``'nb'`` - counts, by equations 14 to 18: the softmax of equation 15 runs over all genes,
          and the gamma distribution of each cell has its own shape.
    decoder
        ``'linear'`` is siVAE-linear of the paper: :math:`v_{f,1}^T z_{c,1}` is all there is
        (equations 19 and 20).
    gamma
        :math:`\gamma`, weight of the interpretability term (equation 13). 0 lets the dimensions of
        genes and cells go their own ways.
    gene_wise
        Whether genes are embedded. If not, this is the plain variational autoencoder of the same
        shape, whose :math:`v_{f,L}` are free weights and which has no loadings.
    n_hidden
        Widths of the hidden layers of both encoders; the decoders mirror them.
    gene_input
        What the encoder of genes reads of the training cells: ``'pca'``, scores of the genes on
        principal components of genes x cells, or ``'sample'``, a gene's expression in a sample of
        the cells.
    n_gene_inputs
        Number of these components or cells; 100 if `None`, or fewer where there are fewer genes.
        :meth:`train` raises if it is more than there are cells.
        The cost of a step does not grow with the number of cells.
    labels_key
        Column of `adata.obs` whose shares the sample of cells keeps; `gene_input="sample"` only.

    Raises
    ------
    ValueError
        If there are more units than genes, a level of the batch
        for each cell, or counts where log expression is due or the other way round.

    Examples
    --------
    >>> import pellucid as pld
    >>> adata = pld.datasets.pbmc68k_reduced()
    >>> pld.model.SIVAE.setup_anndata(adata)
    >>> model = pld.model.SIVAE(adata, likelihood="nb", n_hidden=(32, 16))
    >>> model.train(max_epochs=2)
    >>> model.get_loadings().shape
    (765, 2)

    Notes
    -----
    The variants that the paper compares are arguments: siVAE (:math:`\gamma = 0`) is ``gamma=0``,
    siVAE-linear ``decoder="linear"``, siVAE-NB ``likelihood="nb"``, the VAE ``gene_wise=False``.

    The library size of a cell is observed, as in scvi-tools' models; equation 14 is used by
    :meth:`sample` alone. For counts, logits are added to the logarithm of a gene's share of all
    counts, which is to counts what centring is to logarithms, and the interpretability term, which
    the paper leaves out of equation 18, compares with the log expression that the encoder reads.
    """

    _module_cls = SIVAEModule
    _training_plan_cls = SIVAETrainingPlan
    _monitor = "validation_loss"

    def __init__(
        self,
        adata: AnnData,
        *,
        n_latent: int = 2,
        likelihood: Likelihood = "normal",
        decoder: Decoder = "nonlinear",
        gamma: float = 0.05,
        gene_wise: bool = True,
        n_hidden: Sequence[int] = (1024, 512, 128),
        gene_input: Literal["pca", "sample"] = "pca",
        n_gene_inputs: int | None = None,
        labels_key: str | None = None,
    ):
        super().__init__(adata)
        for name, value, known in (
            ("likelihood", likelihood, ("normal", "nb")),
            ("decoder", decoder, ("nonlinear", "linear")),
            ("gene_input", gene_input, ("pca", "sample")),
        ):
            if value not in known:
                raise ValueError(f"{name}={value!r} is unknown; choose one of {known}.")
        layer = self.adata_manager._get_setup_method_args()["setup_args"]["layer"]
        normal = likelihood == "normal"
        check_expression(adata, layer, counts=not normal, log=normal, scaled=normal)
        if not 1 <= n_latent <= adata.n_vars:
            raise ValueError(
                f"n_latent={n_latent}, but adata has {adata.n_vars} genes; expected 1 to "
                f"{adata.n_vars} units."
            )
        if n_gene_inputs is not None and n_gene_inputs < 1:
            raise ValueError(f"n_gene_inputs={n_gene_inputs}; expected at least 1.")
        found = moments(expression_matrix(adata, layer), likelihood)
        self.module = self._module_cls(
            n_latent=n_latent,
            n_hidden=n_hidden,
            likelihood=likelihood,
            decoder=decoder,
            gamma=gamma,
            gene_wise=gene_wise,
            n_gene_inputs=n_gene_inputs or min(_GENE_INPUTS, adata.n_vars),
            gene_mean=torch.from_numpy(found.mean).float(),
            gene_scale=found.scale,
            reference_library=found.reference_library,
            log_library=found.log_library,
            gene_share=torch.from_numpy(found.share).float(),
            covariates=self._covariates(),
        )
        self._gene_input, self._labels_key = gene_input, labels_key
        self._n_gene_inputs = n_gene_inputs
        self._model_summary_string = (
            f"SIVAE with the following params: \nn_latent: {n_latent}, likelihood: {likelihood}, "
            f"decoder: {decoder}, gamma: {gamma}, gene_wise: {gene_wise}, n_hidden: "
            f"{tuple(n_hidden)}, gene_input: {gene_input}, covariates: {len(self._n_categories)} "
            f"categorical and {len(self._continuous_keys)} continuous"
        )
        # An untrained model, too, answers with means and not with draws.
        self.module.eval()
        self.init_params_ = self._get_init_params(locals())

    @classmethod
    @setup_anndata_dsp.dedent
    def setup_anndata(  # type: ignore[override]  # has more arguments than the base's
        cls,
        adata: AnnData,
        layer: str | None = None,
        batch_key: str | None = None,
        continuous_covariate_keys: list[str] | None = None,
        **kwargs,
    ) -> None:
        """%(summary)s.

        Parameters
        ----------
        %(param_adata)s
        %(param_layer)s
        batch_key
            Column of `adata.obs` that names the batch. Encoder and decoder of cells read it
            (equations 21 to 23), so that the scores need not.
        %(param_cont_cov_keys)s They are read like the batch.

        Raises
        ------
        ValueError
            If the expression holds NaN or infinite values, or nothing but zeros, if gene names are
            not unique, if a covariate has missing values or a continuous one is not numeric, or if
            every cell is a batch of its own. Raised before anything is registered.
        KeyError
            If `layer` is not in `adata.layers`, or a covariate not in `adata.obs`.
        """
        setup_method_args = cls._get_setup_method_args(**locals())
        if batch_key in adata.obs and adata.n_obs > 1 and adata.obs[batch_key].is_unique:
            raise ValueError(
                f"batch_key={batch_key!r} has one cell per level: {adata.n_obs} levels for "
                f"{adata.n_obs} cells. A batch of one cell cannot be told from the cell; name the "
                "column of samples or runs, or pass numbers in continuous_covariate_keys."
            )
        cls._register_with_covariates(
            adata,
            layer,
            None if batch_key is None else [batch_key],
            continuous_covariate_keys,
            setup_method_args=setup_method_args,
            may_be_scaled=True,
            **kwargs,
        )

    @property
    def _log_setting(self) -> str | None:
        return "likelihood='normal'" if self.module.likelihood == "normal" else None

    def _decoding(self) -> AbstractContextManager[None]:
        return self.module.held_genes()

    @torch.inference_mode()
    def get_loadings(self, layer: int = 1) -> pd.DataFrame:
        r"""Where each gene lies in the space of the cells' scores.

        Parameters
        ----------
        layer
            1 for the embedding, :math:`v_{f,1}`, whose columns are the units. 2 to `L` for the
            hidden layers of the genes' decoder, :math:`v_{f,\ell}`, of which the last multiplies
            that of the cells.

        Returns
        -------
        Genes x units, posterior means. The product of scores and loadings approximates centred
        and scaled log expression.

        Raises
        ------
        ValueError
            If the model embeds no genes, or has no such layer.
        """
        module = self.module
        if not module.gene_wise:
            raise ValueError(
                "This model was built with gene_wise=False: a plain variational autoencoder has "
                "no loadings. tl.attribute(adata, model, side='decoder') tells what units write."
            )
        hidden = [*module.gene_decoder]
        # A layer and its activation are one step.
        steps = [hidden[start : start + 2] for start in range(0, len(hidden), 2)]
        if not 1 <= layer <= len(steps) + 1:
            raise ValueError(f"layer={layer}; expected 1 to {len(steps) + 1}.")
        values = cast("Tensor", module.genes().mean)
        for step in steps[: layer - 1]:
            for part in step:
                values = part(values)
        names = self.latent_names if layer == 1 else range(values.shape[1])
        columns = [name if layer == 1 else f"hidden{layer}_{name}" for name in names]
        return pd.DataFrame(values.cpu().numpy(), index=self.get_var_names(), columns=columns)

    @torch.inference_mode()
    def sample(
        self,
        n_cells: int | None = None,
        *,
        prior: bool = False,
        random_state: int = 0,
        batch_size: int | None = None,
    ) -> np.ndarray:
        """Draw expression from the model.

        Parameters
        ----------
        n_cells
            Number of cells; as many as the AnnData has if `None`.
        prior
            Whether embeddings come from the standard normal prior (equation 4). Else each is a
            draw from the posterior of a cell of the AnnData, so that the sample has its
            populations; every cell is used once before any is used again.
        random_state
            Seed of the draws. The global generators are left as they were.
        batch_size
            Cells drawn at once; `scvi.settings.batch_size` if `None`.

        Returns
        -------
        Cells x genes, float32, in the unit of the data: log or scaled expression, or counts, whose
        library sizes are log-normal with the moments of the data's (equation 14). Covariates are
        those of the cells of the AnnData.

        Raises
        ------
        ValueError
            If `n_cells` is below 1.
        """
        module = self.module
        n_cells = self.adata.n_obs if n_cells is None else n_cells
        if n_cells < 1:
            raise ValueError(f"n_cells={n_cells}; expected at least 1.")
        with seeded(random_state), module.held_genes():
            n_rounds = -(-n_cells // self.adata.n_obs)
            rounds = [torch.randperm(self.adata.n_obs) for _ in range(n_rounds)]
            cells = torch.cat(rounds)[:n_cells].tolist()
            drawn = []
            for tensors in self._batches(None, cells, batch_size):
                encoded = self._encode(tensors)
                mean, spread = encoded["mean"], encoded["variance"].sqrt()
                noise = torch.randn_like(mean)
                z = noise if prior else mean + spread * noise
                drawn.append(module.draw_expression(tensors, z))
        return torch.cat(drawn).cpu().numpy()
