"""A classifier of scikit-learn that trains a recipe, for cross-validation, grids and pipelines.

In: rows of pixels and labels of any kind. Out: labels and probabilities, from the exported file as everywhere. This is
the only file whose class is made of scikit-learn's; `import inkdigit` does not load it.
"""

from __future__ import annotations

import math
import shutil
import tempfile
import weakref
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils import Tags
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, check_non_negative, validate_data

from inkdigit.data.readers.arrays import open_arrays
from inkdigit.errors import PictureError, UsageError
from inkdigit.files import write_atomic, writing
from inkdigit.model.recognizer import Recognizer
from inkdigit.picture.pixels import MIN_WIDTH_PX, scale_of_numbers
from inkdigit.runs import MODEL
from inkdigit.training.recipe import Recipe
from inkdigit.types import Dataset, Floats, Gray, silent

# What `fit` changes of a recipe: it trains on all rows, as scikit-learn expects, and reports nothing. A recipe that
# watches a validation split keeps one.
WITHOUT_REPORT = {"protocol": "all", "validation": 0.0, "test_fraction": 0.0}
WITH_VALIDATION = {"protocol": "select", "test_fraction": 0.0}
VALIDATION = 0.1  # where such a recipe does not say how large
SEEDS = 2**31  # random seeds of a recipe are below it

# The checks of scikit-learn's `check_estimator` that a classifier of pictures cannot pass. A test passes those of the
# first kind with rows that are made to pictures. docs/python.md says the same.
NO_PICTURES = "its rows have 1 to 10 values: they are not pictures, and `fit` refuses them"
ONE_CLASS = "one class is a UsageError of Inkdigit, not a ValueError"
ON_OTHER_ROWS = (
    "check_classifier_data_not_an_array",
    "check_classifiers_classes",
    "check_classifiers_train",
    "check_dict_unchanged",
    "check_dont_overwrite_parameters",
    "check_dtype_object",
    "check_estimators_dtypes",
    "check_estimators_fit_returns_self",
    "check_estimators_nan_inf",
    "check_estimators_overwrite_params",
    "check_estimators_pickle",
    "check_f_contiguous_array_estimator",
    "check_fit2d_1feature",
    "check_fit2d_predict1d",
    "check_fit_check_is_fitted",
    "check_fit_idempotent",
    "check_fit_score_takes_y",
    "check_methods_sample_order_invariance",
    "check_methods_subset_invariance",
    "check_n_features_in",
    "check_n_features_in_after_fitting",
    "check_pipeline_consistency",
    "check_readonly_memmap_input",
    "check_supervised_y_2d",
)
# What `check_estimator(InkdigitClassifier(), expected_failed_checks=…)` takes: check → reason.
EXPECTED_FAILED_CHECKS = dict.fromkeys(ON_OTHER_ROWS, NO_PICTURES) | {
    "check_classifiers_one_label": ONE_CLASS,
    "check_fit2d_1sample": ONE_CLASS,
}


class InkdigitClassifier(ClassifierMixin, BaseEstimator):  # type: ignore[misc]  # scikit-learn has no types
    """A network for handwritten digits, letters or signs, as a classifier of scikit-learn.

    `recipe` is a bundled one, the path of a TOML file, or an `inkdigit.Recipe`: all other choices of the training. From
    `epochs` to `prepare` the parameters are fields of the recipe; None is what the recipe says. Where `epochs` is
    given, it is exact: `min_steps` is 0 unless it is given, too. `random_state` is the random seed; None is the
    recipe's, so that `fit` repeats itself. `device` is auto, cpu, cuda or mps. `out` is a run directory to write, with
    its report; None writes nothing. It is only for a single `fit`: a directory that is taken is refused.

    Attributes:
        classes_: The labels (K,), sorted.
        model_: The `Recognizer` that answers. `save` writes its file.
        history_: A row for each epoch: losses, accuracies, learning rate, seconds.
        n_features_in_: The pixels of a picture.
    """

    def __init__(
        self,
        recipe: Recipe | str | Path = "fast",
        *,
        epochs: int | None = None,
        min_steps: int | None = None,
        batch: int | None = None,
        learning_rate: float | None = None,
        optimizer: str | None = None,
        weight_decay: float | None = None,
        label_smoothing: float | None = None,
        filters: tuple[int, ...] | None = None,
        dense: tuple[int, ...] | None = None,
        dropout: float | tuple[float, ...] | None = None,
        dense_dropout: float | None = None,
        rotate_deg: float | None = None,
        shift_px: float | None = None,
        zoom: float | None = None,
        prepare: str | None = None,
        random_state: int | np.random.RandomState | None = None,
        device: str = "auto",
        out: str | Path | None = None,
    ) -> None:
        """Keep the parameters as they are; `fit` checks them."""
        self.recipe = recipe
        self.epochs = epochs
        self.min_steps = min_steps
        self.batch = batch
        self.learning_rate = learning_rate
        self.optimizer = optimizer
        self.weight_decay = weight_decay
        self.label_smoothing = label_smoothing
        self.filters = filters
        self.dense = dense
        self.dropout = dropout
        self.dense_dropout = dense_dropout
        self.rotate_deg = rotate_deg
        self.shift_px = shift_px
        self.zoom = zoom
        self.prepare = prepare
        self.random_state = random_state
        self.device = device
        self.out = out

    def fit(self, X: ArrayLike, y: ArrayLike) -> Self:  # noqa: N803
        """Train on pictures `X` (N, 784) or (N, 28, 28), any square number of pixels, with labels `y` (N,).

        Values are 0 to 255, or floats within 0–1.

        Raises:
            UsageError: an unknown recipe or a field with an impossible value, rows that are not pictures, fewer than
                two classes or more than 256.
            PictureError: values that are not brightness.
            ValueError: what scikit-learn refuses: another number of labels, values that are missing.
            Diverged, TrainingError, OutputError: as `inkdigit.train`.
        """
        rows, labels = validate_data(self, _rows(X), y)
        check_classification_targets(labels)
        check_non_negative(rows, type(self).__name__)
        self.classes_, codes = np.unique(labels, return_inverse=True)
        recipe = self._recipe()
        kind = "ink" if recipe.prepare == "auto" else recipe.prepare
        names = [str(label) for label in self.classes_]
        dataset = open_arrays(self._pictures(rows, is_fit=True), codes, classes=names, prepare=kind)
        if self.out is None:
            self._file, self.history_ = _train(recipe, dataset, self.device)
        else:
            from inkdigit.training.run import train

            run = train(recipe, dataset, out=self.out, device=self.device, progress=False)
            self._file, self.history_ = run.model.path.read_bytes(), run.history
        self.model_ = self._open()
        return self

    def predict(self, X: ArrayLike) -> NDArray[Any]:  # noqa: N803
        """The most probable label (N,) of each picture in `X`, also where the model would reject it."""
        probs = self.predict_proba(X)
        return np.asarray(self.classes_[probs.argmax(axis=1)])

    def predict_proba(self, X: ArrayLike) -> Floats:  # noqa: N803
        """The probability of each class, float32 (N, K) in the order of `classes_`, for each picture in `X`.

        Raises:
            NotFittedError: `fit` was not called.
            PictureError: values that are not brightness.
            ValueError: another number of pixels than `fit` had.
        """
        check_is_fitted(self)
        rows = validate_data(self, _rows(X), reset=False)
        check_non_negative(rows, type(self).__name__)
        return self.model_.predict_proba(self._pictures(rows))

    def save(self, path: str | Path) -> Path:
        """Write the model file, which `inkdigit.load` and every command take; a file that is there is replaced."""
        check_is_fitted(self)
        write_atomic(Path(path), self._file)
        return Path(path)

    def _recipe(self) -> Recipe:
        """The recipe with the parameters that are given, and with a split as `fit` needs it."""
        recipe = self.recipe if isinstance(self.recipe, Recipe) else Recipe.load(self.recipe)
        given = {name: value for name in FIELDS if (value := getattr(self, name)) is not None}
        # A grid may hold NumPy's numbers; a recipe takes those of Python.
        fields = {name: value.item() if isinstance(value, np.generic) else value for name, value in given.items()}
        if self.epochs is not None:
            fields = {"min_steps": 0, **fields}
        if self.random_state is not None:
            fields["seed"] = _seed(self.random_state)
        if recipe.needs_validation:
            return recipe.change({**WITH_VALIDATION, "validation": recipe.validation or VALIDATION, **fields})
        return recipe.change({**WITHOUT_REPORT, **fields})

    def _pictures(self, rows: NDArray[Any], *, is_fit: bool = False) -> Gray:
        """Rows (N, H²) as pictures uint8 (N, H, H); what their values mean, 0 to 1 or 0 to 255, is decided by `fit`."""
        side = round(rows.shape[1] ** 0.5)
        if side**2 != rows.shape[1] or side < MIN_WIDTH_PX:
            expected = f"(N, 784) or (N, 28, 28): a square of {MIN_WIDTH_PX} pixels or more on each side"
            raise UsageError("These rows are not pictures", expected=expected, received=rows.shape)
        if is_fit:
            self._scale = scale_of_numbers(rows.min(), rows.max(), is_float=rows.dtype.kind == "f")
        values = rows * float(self._scale) if self._scale != 1 else rows
        if (values > 255.5).sum() > (values > 0).sum() / 2:  # fewer are what a scaler of a pipeline had not seen
            expected, received = f"0 to {255 / self._scale:g}", f"{rows.min():g} to {rows.max():g}"
            raise PictureError(
                "Most values are brighter than those of `fit` can be", expected=expected, received=received
            )
        pixels: Gray = np.rint(values).clip(0, 255).astype(np.uint8).reshape(-1, side, side)
        return pixels

    def _open(self) -> Recognizer:
        """The model, whose file is there as long as this classifier is."""
        with writing(Path(tempfile.gettempdir())):
            folder = Path(tempfile.mkdtemp(prefix="inkdigit-"))
            weakref.finalize(self, shutil.rmtree, folder, ignore_errors=True)
            path = folder / MODEL
            path.write_bytes(self._file)
        return Recognizer.load(path)

    def __getstate__(self) -> dict[str, Any]:
        """Travel without the loaded model: its file is enough."""
        state = dict(super().__getstate__())
        state.pop("model_", None)
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Load the model again."""
        super().__setstate__(state)
        if "_file" in state:
            self.model_ = self._open()

    def __sklearn_tags__(self) -> Tags:
        """What scikit-learn may give it."""
        tags = super().__sklearn_tags__()
        tags.input_tags.three_d_array = True
        tags.input_tags.positive_only = True
        return tags


OWN = {"recipe", "random_state", "device", "out"}
FIELDS = tuple(name for name in InkdigitClassifier().get_params() if name not in OWN)  # those of a recipe


def _rows(pictures: Any) -> Any:
    """Pictures (N, H, W) as rows (N, H·W); anything else is what scikit-learn checks."""
    if getattr(pictures, "ndim", 2) == 3:
        return np.asarray(pictures).reshape(len(pictures), -1)
    return pictures


def _seed(random_state: int | np.random.RandomState) -> int:
    if isinstance(random_state, np.random.RandomState):
        return int(random_state.randint(SEEDS))
    return int(random_state)


def _train(recipe: Recipe, dataset: Dataset, device: str) -> tuple[bytes, list[dict[str, float]]]:
    """Train without a run directory and a report; the model file, and a row for each epoch."""
    from inkdigit.training import environment, trial
    from inkdigit.training.curves import EPOCH_COLUMNS
    from inkdigit.training.data import open_for, splits_of
    from inkdigit.training.device import choose_device
    from inkdigit.training.distill import open_teacher
    from inkdigit.training.network import loop
    from inkdigit.training.results import Job, write_model

    target = choose_device(device)
    dataset = open_for(recipe, dataset, log=silent)
    splits = splits_of(dataset, recipe)
    teacher = open_teacher(recipe, dataset)
    state = loop.start(trial.build(recipe, splits, len(dataset.classes)).to(target), recipe)
    rows = [
        {name: math.nan if (value := getattr(row, name)) is None else value for name in EPOCH_COLUMNS}
        for row in trial.epochs(state, recipe, splits, target, teacher=teacher)
    ]
    about = environment.describe(dataset, source=dataset.name, device=target)
    with writing(Path(tempfile.gettempdir())), tempfile.TemporaryDirectory() as folder:
        return write_model(Job(Path(folder), recipe, dataset, splits, about, target, teacher), state), rows
