"""A small checkpoint of the true Audio Spectrogram Transformer that has learned three sounds."""

from pathlib import Path

import torch
from transformers import ASTConfig, ASTFeatureExtractor, ASTForAudioClassification

from gpu_service.engines.engine import Samples
from shared.domain.sound import SAMPLE_RATE
from tests.engines.speech import music, noise, said, silence

LABELS = ("speech", "music", "noise")
#: Seconds a window of this checkpoint holds: 256 frames of 10 ms.
WINDOW_S = 2.56
SPEECH = "We should meet at the station and walk to the museum together."


def sounds() -> list[tuple[Samples, list[float]]]:
    """Two seconds and more of each, some of them together, and of nothing."""
    talk, tune, hiss = said(SPEECH), music(4), noise(4)
    n = round(WINDOW_S * SAMPLE_RATE)
    return [
        (talk[:n], [1, 0, 0]),
        (talk[-n:], [1, 0, 0]),
        (tune[:n], [0, 1, 0]),
        (tune[-n:], [0, 1, 0]),
        (hiss[:n], [0, 0, 1]),
        (hiss[-n:], [0, 0, 1]),
        (talk[:n] + tune[:n], [1, 1, 0]),
        (silence(WINDOW_S), [0, 0, 0]),
    ]


def front_end() -> ASTFeatureExtractor:
    return ASTFeatureExtractor(max_length=256, num_mel_bins=64)


def taught(folder: Path) -> Path:
    """The true architecture with one layer, taught for a few seconds."""
    torch.manual_seed(0)
    config = ASTConfig(
        hidden_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=64,
        max_length=256,
        num_mel_bins=64,
        id2label=dict(enumerate(LABELS)),
        label2id={name: i for i, name in enumerate(LABELS)},
    )
    pupil, heard = ASTForAudioClassification(config), front_end()
    clips, wanted = zip(*sounds(), strict=True)
    inputs = heard(list(clips), sampling_rate=SAMPLE_RATE, return_tensors="pt")["input_values"]
    schedule = torch.optim.AdamW(pupil.parameters(), lr=5e-3)
    for _ in range(60):
        loss = torch.nn.functional.binary_cross_entropy_with_logits(
            pupil(inputs).logits, torch.tensor(wanted, dtype=torch.float32)
        )
        schedule.zero_grad()
        loss.backward()
        schedule.step()
    pupil.save_pretrained(folder)
    heard.save_pretrained(folder)
    return folder
