from __future__ import annotations

from math import ceil
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import pandas as pd
import torch

from pellucid._compat import setup_anndata_dsp
from pellucid._keys import GENE_SETS, string_array
from pellucid._validate import check_expression, expression_matrix
from pellucid.module import AnnotatedAEModule
from pellucid.train import AnnotatedAETrainingPlan

from ._base import BaseAutoencoder, Preset
from ._covariates import CovariatesMixin
from ._factors import factor_sets, report_factors
from ._moments import moments
from ._query import QueryMixin

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from anndata import AnnData

    from pellucid.module._annotated_ae import Likelihood

# Steps of training at least, unless `max_epochs` is given; and passes over the cells.
_STEPS, _EPOCHS = 1200, 20
# Learning rate of an encoder that has been trained before.
_FINE_TUNING = 1e-3


class AnnotatedAE(CovariatesMixin, QueryMixin, BaseAutoencoder):
    r"""Autoencoder whose factors carry the names of gene sets :cite:p:`Rybakov2020`.

    A deep encoder reads a cell's scores :math:`z` and a linear decoder :math:`z W^T` writes its
    expression. The loadings :math:`W` are as sparse as gene sets allow:

    * an *annotated* factor stands for a gene set. Its set's genes are cheap, others have to earn
      their place;
    * a *sparse* factor has no set and few genes: programs that no set describes;
    * a *dense* factor may take every gene: technical variation.

    Factors that explain too little are deactivated as a whole, and all zeros are exact.

    Parameters
    ----------
    adata
        AnnData registered via :meth:`~pellucid.model.AnnotatedAE.setup_anndata`: log-normalised
        expression, or counts for `likelihood="nb"`.
    gene_sets
        Key of the sets in `adata.varm`, from :func:`~pellucid.pp.add_gene_sets`; or a mapping of
        names to genes; or `None` for no annotated factor. The sets are saved with the model:
        loading it needs no sets in the AnnData.
    n_sparse
        Number of sparse factors without annotation. Without any, what no set describes ends up in
        sets that it has nothing to do with.
    n_dense
        Number of dense factors.
    likelihood
        * ``'normal'`` - the squared error of log expression, as in the paper.
        * ``'nb'`` - counts, negative binomial, with :math:`z W^T` in the logarithm of a gene's
          share of the cell's counts, and a dispersion for each gene.
    n_hidden, n_layers, dropout_rate
        Width and number of the encoder's hidden layers, and their dropout. The defaults are the
        authors' program's. 0 layers make a linear encoder.
    n_hidden_covariates
        Width of a hidden layer between the covariates and the genes (equation 2); 0 for a linear
        effect of each covariate on each gene.
    outside_weight
        :math:`\lambda_1`: L1 norm of the loadings of an annotated factor outside its set.
    inside_weight
        L1 norm of its loadings within its set, which the paper leaves free. It lets genes that do
        not follow their set leave it.
    sparse_weight
        :math:`\lambda_2`: L1 norm of the loadings of a sparse factor.
    group_weight
        :math:`\lambda_3`: L2 norm of all loadings of a factor, times the square root of the size
        of its set (of the median set for a sparse factor, of all genes for a dense one), so that
        large sets are not favoured. It deactivates factors.
    weight_by_set_size
        Whether to multiply by that root. The paper does not.
    score_weight
        :math:`\lambda_0`: squared scores. `None` fixes the variance of each score at 1 instead
        (batch normalisation), so that the size of a factor's loadings is what it explains, and
        neither can shrink at the other's expense.

    Raises
    ------
    KeyError
        If `adata.varm` has no such gene sets.
    ValueError
        If a set has no gene in `adata`, if there is no factor, or if the data are counts where log
        expression is due or the other way round.

    Examples
    --------
    >>> import pellucid as pld
    >>> adata = pld.datasets.pbmc68k_reduced()
    >>> pld.pp.add_gene_sets(adata, pld.datasets.blood_markers())
    >>> pld.model.AnnotatedAE.setup_anndata(adata)
    >>> model = pld.model.AnnotatedAE(adata, n_sparse=1, likelihood="nb", n_hidden=32)
    >>> model.train(max_epochs=10)
    >>> bool(model.get_loadings().loc["CD79A", "B cell"] > 0)
    True

    Notes
    -----
    Weights of the penalties are in units of the noise, so that one value serves deep and shallow
    data: expression is divided by the root mean variance of its genes, and for counts weights are
    multiplied by the root of a gene's information about its logarithm.

    ``AnnotatedAE.preset("rybakov2020")`` holds the paper's form: no penalty within sets, none for
    the size of a set, :math:`\lambda_0` in place of scores of variance 1, all penalties from the
    first step; batches, epochs and learning rate are those of the authors' program.
    """

    _module_cls = AnnotatedAEModule
    _training_plan_cls = AnnotatedAETrainingPlan
    _presets: ClassVar[dict[str, Preset]] = {
        "rybakov2020": Preset(
            {
                "n_sparse": 0,
                "n_dense": 0,
                "inside_weight": 0.0,
                "weight_by_set_size": False,
                "score_weight": 0.1,
            },
            {"batch_size": 62, "max_epochs": 80, "plan_kwargs": {"lr": 1e-3, "warmup": 0.0}},
        ),
    }

    def __init__(
        self,
        adata: AnnData,
        *,
        gene_sets: str | Mapping[str, Sequence[str]] | None = GENE_SETS,
        n_sparse: int = 5,
        n_dense: int = 0,
        likelihood: Likelihood = "normal",
        n_hidden: int = 400,
        n_layers: int = 2,
        dropout_rate: float = 0.2,
        n_hidden_covariates: int = 0,
        outside_weight: float = 0.4,
        inside_weight: float = 0.1,
        sparse_weight: float = 0.25,
        group_weight: float = 0.3,
        weight_by_set_size: bool = True,
        score_weight: float | None = None,
    ):
        super().__init__(adata)
        if likelihood not in ("normal", "nb"):
            raise ValueError(
                f"likelihood={likelihood!r} is unknown; choose 'normal' (log expression) or 'nb' "
                "(counts)."
            )
        layer = self.adata_manager._get_setup_method_args()["setup_args"]["layer"]
        check_expression(adata, layer, counts=likelihood == "nb", log=likelihood == "normal")
        # What is saved is not the key but the sets, so that loading does not need them again.
        gene_sets = factor_sets(adata, gene_sets)
        names = [*gene_sets, *(f"sparse_{place}" for place in range(n_sparse))]
        names += [f"dense_{place}" for place in range(n_dense)]
        if not names:
            raise ValueError("There is no factor: pass gene_sets, n_sparse or n_dense.")
        if len(set(names)) < len(names):
            raise ValueError("A gene set is called like a factor without annotation; rename it.")
        self.factor_names_ = string_array(names)
        kinds = np.repeat(["annotated", "sparse", "dense"], [len(gene_sets), n_sparse, n_dense])
        self.factor_kinds_ = string_array(kinds)

        in_set = self._in_set(gene_sets)
        sizes = in_set.sum(1)
        n_annotated = len(gene_sets)
        # A sparse factor is weighed as a set of median size, a dense one as all genes.
        sizes[n_annotated:] = np.median(sizes[:n_annotated]) if gene_sets else adata.n_vars**0.5
        sizes[kinds == "dense"] = adata.n_vars
        found = moments(expression_matrix(adata, layer), likelihood)

        def weights(annotated: float, sparse: float, dense: float = 0.0) -> torch.Tensor:
            return found.noise * torch.tensor([annotated, sparse, dense]).repeat_interleave(
                torch.tensor([n_annotated, n_sparse, n_dense])
            )

        roots = torch.from_numpy(sizes).float().sqrt() if weight_by_set_size else 1.0
        self.module = self._module_cls(
            torch.from_numpy(in_set),
            inside_weight=weights(inside_weight, sparse_weight),
            outside_weight=weights(outside_weight, sparse_weight),
            group_weight=roots * weights(group_weight, group_weight, group_weight),
            score_weight=score_weight,
            gene_mean=torch.from_numpy(found.mean).float(),
            gene_scale=found.scale,
            reference_library=found.reference_library,
            gene_share=torch.from_numpy(found.share).float(),
            n_hidden=n_hidden,
            n_layers=n_layers,
            dropout_rate=dropout_rate,
            covariates=self._covariates(),
            n_hidden_covariates=n_hidden_covariates,
            likelihood=likelihood,
        )
        self._model_summary_string = (
            f"AnnotatedAE with the following params: \nannotated factors: {len(gene_sets)}, "
            f"n_sparse: {n_sparse}, n_dense: {n_dense}, likelihood: {likelihood}, n_hidden: "
            f"{n_hidden}, n_layers: {n_layers}, covariates: {len(self._n_categories)} categorical "
            f"and {len(self._continuous_keys)} continuous"
        )
        # Dropout and batches are for training: an untrained encoder, too, reads each cell alone.
        self.module.eval()
        self.init_params_ = self._get_init_params(locals())

    @classmethod
    @setup_anndata_dsp.dedent
    def setup_anndata(  # type: ignore[override]  # has more arguments than the base's
        cls,
        adata: AnnData,
        layer: str | None = None,
        categorical_covariate_keys: list[str] | None = None,
        continuous_covariate_keys: list[str] | None = None,
        **kwargs,
    ) -> None:
        """%(summary)s.

        Parameters
        ----------
        %(param_adata)s
        %(param_layer)s
        %(param_cat_cov_keys)s Their effect on each gene is added to what the factors say.
        %(param_cont_cov_keys)s The same.

        Raises
        ------
        ValueError
            If the expression holds NaN, infinite or negative values, or nothing but zeros, if gene
            names are not unique, if a covariate has missing values or a continuous one is not
            numeric. Raised before anything is registered.
        KeyError
            If `layer` is not in `adata.layers`, or a covariate not in `adata.obs`.
        """
        cls._register_with_covariates(
            adata,
            layer,
            categorical_covariate_keys,
            continuous_covariate_keys,
            setup_method_args=cls._get_setup_method_args(**locals()),
            **kwargs,
        )

    def _in_set(self, gene_sets: Mapping[str, Sequence[str]]) -> np.ndarray:
        """Whether a gene stands in a factor's set, factors x genes."""
        position = pd.Series(np.arange(self.adata.n_vars), index=self.adata.var_names)
        in_set = np.zeros((len(self.factor_names_), self.adata.n_vars), dtype=bool)
        for factor, genes in enumerate(gene_sets.values()):
            in_set[factor, position.loc[genes]] = True
        return in_set

    @property
    def _log_setting(self) -> str | None:
        return "likelihood='normal'" if self.module.likelihood == "normal" else None

    @property
    def latent_names(self) -> np.ndarray:
        """Names of the factors, a string array: of the sets, then `sparse_0`, ..., `dense_0`."""
        return self.factor_names_

    @property
    def factor_kinds(self) -> np.ndarray:
        """`'annotated'`, `'sparse'` or `'dense'`, a string array, in the order of the names."""
        return self.factor_kinds_

    def train(
        self,
        max_epochs: int | None = None,
        *,
        accelerator: str = "auto",
        devices: int | list[int] | str = "auto",
        train_size: float | None = None,
        validation_size: float | None = None,
        batch_size: int = 128,
        early_stopping: bool = False,
        early_stopping_patience: int = 10,
        plan_kwargs: dict[str, Any] | None = None,
        **kwargs,
    ) -> None:
        """Train the model, turn its factors the right way up, and say which were deactivated.

        Parameters
        ----------
        max_epochs
            Passes over the training cells. If `None`, as many as make 1,200 steps, and 20 at
            least. The penalties' warm-up and the learning rate's decay are shares of it.
        accelerator, devices
            As in :class:`lightning.pytorch.Trainer`.
        train_size
            Share of the cells to train on; 0.9 if `None`.
        validation_size
            Share of the cells held out; the rest if `None`.
        batch_size
            Cells a step, 2 at least: the encoder normalises batches.
        early_stopping
            Whether to stop when the reconstruction loss of the held-out cells stops improving, and
            to end with the weights of the epoch where it was least. That epoch's penalties are
            then those of the warm-up, if it lies there.
        early_stopping_patience
            Epochs without improvement to wait for.
        plan_kwargs
            Arguments of the training plan: `optimizer` (`"Adam"` or `"SGD"`, both followed by the
            proximal step), `lr` and `warmup`. Where the loadings are frozen, as in a query, `lr`
            is 0.001 unless given.
        **kwargs
            Passed to scvi-tools' `train` and by it to :class:`~scvi.train.Trainer`.

        Raises
        ------
        ValueError
            If there are too few cells to hold any out, or `batch_size` is 1.
        """
        if batch_size < 2:
            raise ValueError(
                f"batch_size={batch_size}: the encoder normalises each batch, which takes at "
                "least 2 cells."
            )
        if not self.module.loadings.requires_grad:
            plan_kwargs = {"lr": _FINE_TUNING, **(plan_kwargs or {})}
        n_train = ceil(self.adata.n_obs * (0.9 if train_size is None else train_size))
        if max_epochs is None:
            max_epochs = max(_EPOCHS, ceil(_STEPS / ceil(n_train / batch_size)))
        # A batch of one cell cannot be normalised.
        splitting = {"drop_last": n_train > batch_size and n_train % batch_size == 1}
        self._fit(
            max_epochs=max_epochs,
            accelerator=accelerator,
            devices=devices,
            train_size=train_size,
            validation_size=validation_size,
            batch_size=batch_size,
            early_stopping=early_stopping,
            early_stopping_patience=early_stopping_patience,
            plan_kwargs=plan_kwargs,
            datasplitter_kwargs=splitting | kwargs.pop("datasplitter_kwargs", {}),
            **kwargs,
        )
        if self.module.loadings.requires_grad:
            self.module.settle()
            report_factors(
                self.latent_names,
                self.module.loadings.detach().cpu().numpy(),
                self.module.in_set.cpu().numpy(),
            )

    def get_loadings(self) -> pd.DataFrame:
        """What each factor adds to each gene, per unit of its score.

        Returns
        -------
        Genes x factors. Log expression if `likelihood="normal"`, the logarithm of a gene's share
        of the cell's counts if `"nb"`. Zeros are exact.
        """
        loadings = self.module.loadings.detach().cpu().numpy().T
        if self.module.likelihood == "normal":
            loadings = loadings * float(self.module.gene_scale)
        return pd.DataFrame(loadings, index=self.get_var_names(), columns=self.latent_names)
