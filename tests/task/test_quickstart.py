"""The generated task: the same everywhere, learnable, not trivial."""

import hashlib
import math
import subprocess
import sys

import pytest
from transformers import DataCollatorWithPadding

from stabsearch.config import QuickstartTask
from stabsearch.task.quickstart import build as build_quickstart
from stabsearch.task.quickstart import generate

DIGEST = (
    "import hashlib; from stabsearch.config import QuickstartTask; "
    "from stabsearch.task.quickstart import generate; "
    "texts, labels = generate(QuickstartTask(num_rows=100)); "
    "print(hashlib.sha256(repr((texts, labels.ids_N.tolist())).encode()).hexdigest())"
)


def test_generation_is_the_same_in_every_process() -> None:
    """The same task gives the same rows, whatever the hash seed of the process."""
    texts, labels = generate(QuickstartTask(num_rows=100))
    here = hashlib.sha256(repr((texts, labels.ids_N.tolist())).encode()).hexdigest()
    done = subprocess.run([sys.executable, "-c", DIGEST], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == here


def test_a_topic_shows_in_its_words() -> None:
    """Without label noise, the topic that a sentence names is its label."""
    texts, labels = generate(QuickstartTask(num_rows=200, label_noise=0.0))
    for text, label in zip(texts, labels.ids_N, strict=True):
        topics = {word.partition("word")[0] for word in text.split() if word.startswith("topic")}
        assert topics <= {f"topic{label}"}


def test_label_noise_replaces_labels() -> None:
    """With noise, some labels differ; the sentences stay the same."""
    clean, clean_labels = generate(QuickstartTask(num_rows=1000, label_noise=0.0))
    noisy, noisy_labels = generate(QuickstartTask(num_rows=1000, label_noise=0.2))
    assert clean == noisy
    changed = float((clean_labels.ids_N != noisy_labels.ids_N).mean())
    assert changed == pytest.approx(0.2 * 3 / 4, abs=0.04)


@pytest.mark.parametrize("width", [8, 16, 40, 64, 72, 96, 104, 200])
def test_every_width_makes_a_model(width: int) -> None:
    """The heads divide the width, whatever it is."""
    task = QuickstartTask(num_rows=64, num_classes=3, hidden_size=width, num_hidden_layers=1)
    workload = build_quickstart(task)
    batch = DataCollatorWithPadding(workload.tokenizer)([workload.rows[i] for i in range(4)])
    loss = workload.model(0)(**batch).loss
    assert float(loss.detach()) == pytest.approx(math.log(3), abs=0.5)


def test_no_word_is_unknown() -> None:
    """The vocabulary holds every word that is generated."""
    workload = build_quickstart(QuickstartTask(num_rows=200, hidden_size=8, num_hidden_layers=1))
    unknown = workload.tokenizer.unk_token_id
    assert all(unknown not in workload.rows[i]["input_ids"] for i in range(len(workload.rows)))
    assert workload.chance_loss == pytest.approx(math.log(4), abs=0.05)
