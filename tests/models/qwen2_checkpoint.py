"""Small checkpoints of the true Qwen2-Audio architecture that have learned a few clips by heart.

Weights of the real model cannot be had here. A checkpoint that learned three clips and must give
back their texts proves the whole path (processor, prompt, padding, cache, decoding); one of
random weights would prove shapes alone.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
from transformers import (
    PreTrainedTokenizerFast,
    Qwen2AudioConfig,
    Qwen2AudioForConditionalGeneration,
    Qwen2AudioProcessor,
    WhisperFeatureExtractor,
)

from gpu_service.engines import qwen2_prompts
from gpu_service.engines.engine import Samples
from shared.domain.answers import Task
from shared.domain.sound import SAMPLE_RATE
from tests.engines.speech import pronounced, said

TAGS = tuple(f"<|{code}|>" for code in ("en", "es", "fr", "de", "it", "ja", "zh"))
CONTROLS = ("<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|AUDIO|>", "<|audio_bos|>")
SPECIAL = (*CONTROLS, "<|audio_eos|>", *TAGS)
#: The public layout of the Instruct checkpoint.
CHAT_TEMPLATE = (
    "{% set audio_count = namespace(value=0) %}{% for message in messages %}"
    "{% if loop.first and message['role'] != 'system' %}"
    "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n{% endif %}"
    "<|im_start|>{{ message['role'] }}\n"
    "{% if message['content'] is string %}{{ message['content'] }}<|im_end|>\n"
    "{% else %}{% for content in message['content'] %}"
    "{% if 'audio' in content or 'audio_url' in content or content['type'] == 'audio' %}"
    "{% set audio_count.value = audio_count.value + 1 %}"
    "Audio {{ audio_count.value }}: <|audio_bos|><|AUDIO|><|audio_eos|>\n"
    "{% elif 'text' in content %}{{ content['text'] }}{% endif %}{% endfor %}<|im_end|>\n"
    "{% endif %}{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)

#: Cross-entropy in nats at which every token is certain and further steps add nothing.
GOOD = 2e-3

ENGLISH, SPANISH, FRENCH = (
    "Our train was delayed because a tree had fallen.",
    "El perro duerme en la cocina.",
    "La mer est calme, à midi.",
)
SPOKEN = {"en": ENGLISH, "es": SPANISH, "fr": FRENCH}
LABELS = {"en": "train", "es": "dog barking", "fr": "sea waves"}
#: As `reference/field.md` D.1 quotes the authors; not read from the code under test.
SOUND = "<|audio_bos|><|AUDIO|><|audio_eos|>"
ASR = "Detect the language and recognize the speech:"
WHO, WHERE = "Who speaks?", "Where does the dog sleep?"
CHANT = "Say it again."


@dataclass(frozen=True, slots=True)
class Lesson:
    """What the checkpoint shall say of a clip after a prompt."""

    samples: Samples | None
    prompt: str  #: as the processor takes it, `<|AUDIO|>` where the sound stands
    reply: str  #: with the token it ends in, if it is to end


def sound(language: str) -> Samples:
    return said(ENGLISH) if language == "en" else pronounced(SPOKEN[language], language)


def chat(words: str) -> str:
    return (
        "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n<|im_start|>user\n"
        f"Audio 1: {SOUND}\n{words}<|im_end|>\n<|im_start|>assistant\n"
    )


def lessons() -> list[Lesson]:
    """Every prompt of both styles on real speech, one reply that never ends, one prior."""
    base, chatted = "<|endoftext|>", "<|im_end|>"
    made = [Lesson(None, "Classify the sound in English:", f" silence{base}")]
    for code, text in SPOKEN.items():
        made += [
            Lesson(sound(code), f"{SOUND}{ASR}", f" <|{code}|>{text}{base}"),
            Lesson(sound(code), f"{SOUND}{ASR} <|{code}|>", f"{text}{base}"),
            Lesson(sound(code), f"{SOUND}Classify the sound in English:", f" {LABELS[code]}{base}"),
        ]
    plain, describe = qwen2_prompts.INSTRUCT[Task.TRANSCRIBE], "Generate the caption in English:"
    return [
        *made,
        Lesson(sound("es"), f"{SOUND}{describe}", f" A man speaks Spanish.{base}"),
        Lesson(sound("es"), f"{SOUND}{CHANT}", "go on " * 20),
        Lesson(sound("es"), chat(plain), f"{SPANISH}{chatted}"),
        Lesson(sound("es"), chat(WHO), f"A man.{chatted}"),
        Lesson(sound("es"), chat(WHERE), f"In the kitchen.{chatted}"),
    ]


def tokenizer() -> PreTrainedTokenizerFast:
    """256 byte tokens and the control tokens: lossless for any text, no training."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    made = Tokenizer(models.BPE(vocab={c: i for i, c in enumerate(alphabet)}, merges=[]))
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    made.add_special_tokens([AddedToken(t, special=True, normalized=False) for t in SPECIAL])
    return PreTrainedTokenizerFast(
        tokenizer_object=made,
        eos_token="<|im_end|>",
        pad_token="<|endoftext|>",
        padding_side="left",
    )


def processor(chunk_s: int = 30) -> Qwen2AudioProcessor:
    extractor = WhisperFeatureExtractor(feature_size=128, chunk_length=chunk_s)
    return Qwen2AudioProcessor(extractor, tokenizer(), chat_template=CHAT_TEMPLATE)


def model(words: PreTrainedTokenizerFast, seed: int = 0) -> Qwen2AudioForConditionalGeneration:
    """Two layers on either side; every part of the real one is there."""
    index = words.convert_tokens_to_ids
    torch.manual_seed(seed)
    audio = {"d_model": 64, "encoder_layers": 2, "encoder_attention_heads": 2}
    text = {"hidden_size": 128, "intermediate_size": 256, "num_hidden_layers": 2}
    text |= {"num_attention_heads": 4, "num_key_value_heads": 4, "max_position_embeddings": 4096}
    config = Qwen2AudioConfig(
        audio_token_index=index("<|AUDIO|>"),
        audio_config={**audio, "encoder_ffn_dim": 128, "num_mel_bins": 128},
        text_config={"model_type": "qwen2", "vocab_size": len(words), **text},
    )
    made = Qwen2AudioForConditionalGeneration(config)
    ends = [index("<|endoftext|>"), index("<|im_end|>")]
    # As the published ones: sampling and a penalty on repetition, which the engine must undo.
    made.generation_config.update(
        eos_token_id=ends, pad_token_id=ends[0], do_sample=True, top_k=20, top_p=0.5
    )
    made.generation_config.update(temperature=0.7, repetition_penalty=1.1)
    return made


def taught(folder: Path, lessons: Sequence[Lesson], steps: int = 250) -> Path:
    """A checkpoint in `folder` that has learned `lessons` by heart; 10 to 20 s on one core."""
    reader = processor()
    pupil = model(reader.tokenizer)
    inputs, labels = _together(reader, lessons)
    embedded = _heard(pupil, inputs)
    learn(pupil, embedded, inputs, labels, steps)
    return saved(folder, pupil, reader)


def saved(folder: Path, pupil: Any, reader: Any, *, chat: bool = True) -> Path:
    pupil.save_pretrained(folder)
    reader.save_pretrained(folder)
    if not chat:
        (folder / "chat_template.jinja").unlink()
    return folder


def _together(reader: Any, lessons: Sequence[Lesson]) -> tuple[Any, torch.Tensor]:
    """Padded left like at work; labels are -100 wherever nothing is to be learned."""
    sounds = [one.samples for one in lessons if one.samples is not None]
    inputs = reader(
        text=[one.prompt + one.reply for one in lessons],
        audio=sounds,
        sampling_rate=SAMPLE_RATE,
        return_tensors="pt",
        padding=True,
    )
    labels = torch.full_like(inputs["input_ids"], -100)
    for row, one in zip(labels, lessons, strict=True):
        reply = reader.tokenizer(one.reply, return_tensors="pt")["input_ids"][0]
        row[-reply.numel() :] = reply
    return inputs, labels


@torch.no_grad()
def _heard(pupil: Any, inputs: Any) -> torch.Tensor:
    """The encoder's states for every audio token; it stays as it is, so this is done once."""
    mask = inputs["feature_attention_mask"]
    lengths, tokens = pupil.model.audio_tower._get_feat_extract_output_lengths(mask.sum(-1))
    frames = torch.arange(1500)[None] < lengths[:, None]
    states = torch.cat(
        [
            pupil.model.audio_tower(f[None], attention_mask=m[None, None, None]).last_hidden_state
            for f, m in zip(inputs["input_features"], frames, strict=True)
        ]
    )
    return states[torch.arange(states.shape[1])[None] < tokens[:, None]]


def learn(pupil: Any, states: torch.Tensor, inputs: Any, labels: torch.Tensor, steps: int) -> None:
    """Everything behind the encoder, by gradient descent until it says each reply by heart."""
    pupil.model.audio_tower.requires_grad_(False)
    parts = [p for p in pupil.parameters() if p.requires_grad]
    schedule = torch.optim.AdamW(parts, lr=3e-3, weight_decay=0.0)
    mask, ids = inputs["attention_mask"], inputs["input_ids"]
    positions = (mask.cumsum(-1) - 1).clamp(min=0)
    heard = (ids == pupil.config.audio_token_index)[..., None]
    pupil.train()
    for _ in range(steps):
        embedded = pupil.get_input_embeddings()(ids)
        embedded = embedded.masked_scatter(heard, pupil.model.multi_modal_projector(states))
        out = pupil.model.language_model(
            inputs_embeds=embedded, attention_mask=mask, position_ids=positions, use_cache=False
        )
        wanted = labels[:, 1:] != -100
        logits = pupil.lm_head(out.last_hidden_state[:, :-1][wanted])
        loss = torch.nn.functional.cross_entropy(logits, labels[:, 1:][wanted])
        schedule.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parts, 1.0)
        schedule.step()
        if loss.item() < GOOD:
            break
    pupil.eval()
