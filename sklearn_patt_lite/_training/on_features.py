"""Train on features of frozen layers, in the stages in which this is cheaper than on images."""

import contextlib
import math

import numpy as np

from sklearn_patt_lite._features.backbone import FrozenBackbone
from sklearn_patt_lite._features.bank import FeatureBank, FeatureCache
from sklearn_patt_lite._features.views import choose_views, clean, count_views
from sklearn_patt_lite._network.parts import frozen_until, is_small, named_weights
from sklearn_patt_lite._process import prefetch
from sklearn_patt_lite._training.head_trainer import head_trainer
from sklearn_patt_lite._training.stages import Trainer, epoch_order, set_stage


class FrozenFeatures:
    """Training and validation features, for the stages in which they are cheaper than images.

    Parameters
    ----------
    network : keras.Model
        From `build_network`, with its weights at the start of the first stage.
    architecture : Architecture
        Of the network.
    stages : list of Stage
        All stages of the fit, in order.
    data : TrainingData
        Training and validation data.
    memory : FeatureMemory or None
        Memory that keeps the features after the fit.
    augment : bool or "affine"
        Which views of the training images are used; see `choose_views`.
    """

    def __init__(self, network, architecture, stages, data, memory=None, *, augment):
        self._augment, self._n_views = augment, count_views(augment)
        self._layers = {stage: _frozen_until(network, stage) for stage in stages}
        # A memory may serve many other fits, so it may keep features that a single fit would not.
        factor = 2 if self._n_views == math.inf and memory is not None else 1
        self._kept = {name for name in self._layers.values() if is_small(network, name, factor)}
        if 1 < self._n_views < math.inf:
            # Features that are not kept would be recomputed again and again for the few views of
            # the bank: train on images instead, with an unlimited number of views.
            self._layers = {s: n if n in self._kept else None for s, n in self._layers.items()}
        self._memory, self._data = memory, data
        self._banks = {}
        if any(self._layers.values()):
            frozen = FrozenBackbone(architecture, named_weights(network))
            cache = FeatureCache(memory)
            self._banks["train"] = FeatureBank(frozen, data.X, cache)
            if data.X_val is not None:
                self._banks["validation"] = FeatureBank(frozen, data.X_val, cache)

    def layer(self, stage):
        """Return the activation whose features a stage trains on; None for images."""
        return self._layers[stage]

    def kept_layer(self, stage):
        """Return the same activation if its features are worth keeping; None otherwise."""
        return self._layers[stage] if self._layers[stage] in self._kept else None

    @property
    def counts(self):
        """Numbers of feature rows that were computed, and that were found in the cache."""
        banks = self._banks.values()
        return {
            "computed": sum(bank.n_computed for bank in banks),
            "found": sum(bank.n_found for bank in banks),
        }

    @property
    def passes(self):
        """Number of epochs of each stage in which images go through the frozen layers."""
        # Computing the features of the first stage also computes those of later stages.
        first = next(iter(self._layers))
        in_all = self._n_views == math.inf
        return {
            stage: self._n_views * (stage is first)
            if layer in self._kept and not in_all
            else stage.epochs
            for stage, layer in self._layers.items()
        }

    def training_chunks(self, stage, epoch, order, chunk_size):
        """Yield chunks of the training data in the given order: features, labels, weights."""
        bank, data = self._banks["train"], self._data
        views = choose_views(bank.digests, epoch, self._augment)
        worth_keeping = self._worth_keeping(stage, epoch % self._n_views, self._n_views)
        for start in range(0, len(order), chunk_size):
            rows = order[start : start + chunk_size]
            x = bank.read(self._layers[stage], rows, views[rows], worth_keeping)
            yield x, data.y[rows], data.sample_weight[rows]

    def validation_chunks(self, stage, chunk_size):
        """Yield chunks of the validation data: features and labels."""
        bank, layer = self._banks["validation"], self._layers[stage]
        worth_keeping = self._worth_keeping(stage, 0, 1)
        for start in range(0, len(bank), chunk_size):
            rows = np.arange(len(bank))[start : start + chunk_size]
            x = bank.read(layer, rows, clean(len(rows)), worth_keeping)
            yield x, self._data.y_val[rows]

    def _worth_keeping(self, stage, i_view, n_views):
        """Return the layers whose features of each image's i-th view will be needed again."""
        if self._memory is not None:  # other fits may need them, too
            return self._kept
        # Epoch i shows each image in its i-th view. So a later stage needs that view if it has more
        # than i epochs, and this stage needs it again if it has more epochs than there are views.
        stages = list(self._layers)
        later = [s for s in stages[stages.index(stage) + 1 :] if i_view < s.epochs]
        again = [*later, *([stage] if stage.epochs > n_views else [])]
        return self._kept & {self._layers[s] for s in again}


def _frozen_until(network, stage):
    set_stage(network, stage)
    return frozen_until(network)


@contextlib.contextmanager
def train_on_features(network, stage, data, features, *, batch_size, seed):
    """Open a trainer on features; parameters as `train_on_arrays`, plus `FrozenFeatures`."""
    set_stage(network, stage)
    n_steps = stage.epochs * math.ceil(len(data.y) / batch_size)
    trainer = head_trainer(network, features.layer(stage), stage, batch_size, n_steps)
    trainer.load(network, stage)

    def run_epoch(epoch, on_step):
        n_before = features.counts["computed"]

        def on_chunk(step, logs, waited):
            computes = features.counts["computed"] > n_before
            on_step(step, logs, waited if computes else 0.0)

        order = epoch_order(seed, epoch, len(data.y))
        chunks = features.training_chunks(stage, epoch, order, trainer.chunk_size)
        logs = trainer.train(prefetch(chunks), None if on_step is None else on_chunk)
        if data.y_val is not None:
            chunks = features.validation_chunks(stage, trainer.chunk_size)
            logs |= trainer.evaluate(prefetch(chunks))
        return logs

    yield Trainer(trainer.model, run_epoch, lambda: trainer.learned(network))
    trainer.unload(network)
