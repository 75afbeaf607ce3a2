"""The two parts of the downstream report: few labels, and compression."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import numpy.typing as npt

from bench.downstream.charts import (
    Curve,
    plot_bars,
    plot_contingencies,
    plot_cross_entropy,
    plot_divergences,
    plot_lines,
)
from bench.downstream.effect import (
    PairedTest,
    compare_cross_entropy,
    contingency,
    symmetric_divergence,
)
from bench.downstream.features import Extractor, all_features
from bench.downstream.frozen import Answers, CodedSplit, FrozenModel, code_split
from bench.downstream.label_shares import Method, ProbeMethod, draw_order, run_label_shares
from bench.downstream.patches import Indices, LabelledPatches, Labels
from bench.downstream.probe import Logits
from bench.downstream.scratch import Classifier, ScratchConfig, train_classifier
from bench.downstream.tables import (
    bias_table,
    contingency_table,
    effect_table,
    label_table,
    rate_table,
    write_scores,
)
from bench.downstream.versions import OURS, Quality
from bench.report import Section
from eocodec.codec_models import find_card

SCRATCH = "network from scratch"


@dataclass(frozen=True)
class Study:
    """What is compared, on which patches.

    Attributes
    ----------
    patches : LabelledPatches
    extractors : dict of str to callable
        Features that linear probes are fitted to.
    frozen : sequence of str
        Names of those whose probes also see decoded pixels.
    config : ScratchConfig
        The network from scratch.
    out : Path
        Folder of plots, tables and trained networks.
    """

    patches: LabelledPatches
    extractors: Mapping[str, Extractor]
    frozen: Sequence[str]
    config: ScratchConfig
    out: Path

    @cached_property
    def probes(self) -> dict[str, ProbeMethod]:
        """Features of all patches of the splits, computed once."""
        chosen = np.concatenate(list(self.patches.splits.values()))
        return {
            name: ProbeMethod(self.patches, all_features(self.patches, extract, chosen))
            for name, extract in self.extractors.items()
        }

    def network(self, chosen: Indices, seed: int) -> Classifier:
        """Train a network from scratch, or load it where it was trained before."""
        folder = self.out / "networks"
        return train_classifier(self.patches, chosen, self.config, seed=seed, folder=folder)

    def network_logits(self, chosen: Indices, seed: int) -> Logits:
        """Train a network; return logits of the test split."""
        network, test = self.network(chosen, seed), self.patches.splits["test"]
        features = all_features(self.patches, network.features, test)
        return network.classify(features[test])

    def models(self) -> list[FrozenModel]:
        """Return classifiers trained on all of the train split."""
        train = draw_order(self.patches, 0)
        network = self.network(train, 0)
        found = [FrozenModel(SCRATCH, network.features, network.classify)]
        for name in self.frozen:
            probe = self.probes[name].fit(train)
            found.append(FrozenModel(f"probe of {name}", self.extractors[name], probe.logits))
        return found


def label_section(
    study: Study, seeds: int, network_seeds: int, progress: Callable[[], object]
) -> Section:
    """Train with few and with all labels: probes with as many seeds as the first, networks as the second."""
    scores = run_label_shares(study.patches, study.probes, range(seeds), progress)
    network: dict[str, Method] = {SCRATCH: study.network_logits}
    scores += run_label_shares(study.patches, network, range(network_seeds), progress)
    write_scores(scores, study.out / "label-shares.csv")
    measures = list(scores[0].measures)
    bars, lines = study.out / "label-shares-bars.png", study.out / "label-shares-lines.png"
    plot_bars(scores, measures, bars)
    plot_lines(scores, measures, lines)
    return Section(
        "Few labels: linear probes on frozen features, and a network from scratch",
        [label_table(scores, len(study.patches.splits["train"]))],
        [("By labelled patches", bars), ("Against the number of labelled patches", lines)],
    )


def effect_sections(
    study: Study, most: int | None, progress: Callable[[int], object]
) -> list[Section]:
    """Show decoded patches, a random sample of `most` of the test split at most, to frozen models."""
    test = study.patches.splits["test"]
    chosen = np.sort(np.random.default_rng(0).permutation(test)[:most])
    labels = study.patches.labels[chosen]
    models = study.models()
    coded = code_split(study.patches, chosen, models, progress)
    curves = {model.name: _curves(coded, model.name, labels) for model in models}
    path = study.out / "cross-entropy.png"
    plot_cross_entropy(curves, path)
    change = "By how much compression raises the cross-entropy, with 95 % intervals"
    tables = [rate_table(coded), bias_table(coded)]
    return [
        Section("Compression: rates and indices", tables, [(change, path)]),
        *(_model_section(study, coded, model.name, labels) for model in models),
    ]


def _model_section(study: Study, coded: CodedSplit, model: str, labels: Labels) -> Section:
    answers = coded.answers[model]
    original = np.concatenate(answers.original)
    default = Quality(OURS, find_card().default_layers)
    lowest = Quality(OURS, 1)
    found = np.flatnonzero(labels.any(axis=0))
    classes = [study.patches.classes[index] for index in found]
    pictures = []
    for quality in (lowest, default):
        path = study.out / f"divergence-{_slug(model)}-{quality.layers}.png"
        decoded = np.concatenate(answers.decoded[quality])
        plot_divergences(symmetric_divergence(original, decoded)[:, found], classes, path)
        pictures.append(
            (f"Symmetric KL divergence by label that occurs, {quality}; the last bin is open", path)
        )
    path = study.out / f"contingency-{_slug(model)}.png"
    plot_contingencies(_contingencies(answers), path)
    pictures.append(("Categories of all labels before and after", path))
    tables = [
        effect_table(model, coded, labels),
        contingency_table(model, lowest, answers),
        contingency_table(model, default, answers),
    ]
    return Section(f"Compression: {model}", tables, pictures)


def _curves(coded: CodedSplit, model: str, labels: Labels) -> Mapping[str, Curve]:
    answers = coded.answers[model]
    original = np.concatenate(answers.original)
    curves: dict[str, list[tuple[float, PairedTest]]] = {}
    for quality in sorted(coded.bytes):
        test = compare_cross_entropy(original, np.concatenate(answers.decoded[quality]), labels)
        curves.setdefault(quality.codec, []).append((coded.bpppb(quality), test))
    return curves


def _contingencies(answers: Answers) -> dict[Quality, npt.NDArray[np.int64]]:
    original = np.concatenate(answers.original)
    return {
        quality: contingency(original, np.concatenate(answers.decoded[quality]))
        for quality in sorted(answers.decoded)
        if quality.codec == OURS
    }


def _slug(name: str) -> str:
    return name.replace(" ", "-")
