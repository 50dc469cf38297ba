"""What is asked for, and what is answered, without a service around it."""

from dataclasses import replace
from math import exp, log

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpu_service.openai_api import failures
from gpu_service.openai_api.asked import Format, Granularity, asked
from gpu_service.openai_api.testifying import Witness
from gpu_service.openai_api.transcripts import logprobs, rendered
from shared import errors as e
from shared.domain.answers import Answer, Task, Token, Word
from shared.domain.cascade import Decided, Decision, Verdict
from shared.domain.tenants import Tenant, Tier
from tests.builders import NOW
from tests.flows.ears import survey

ACME = Tenant("acme", Tier.PRO, NOW)


def test_the_least_is_a_model():
    wanted = asked([("model", "whisper")])

    assert (wanted.format, wanted.stream, wanted.logprobs) == (Format.JSON, False, False)
    assert wanted.granularities == {Granularity.SEGMENT}
    assert (wanted.language, wanted.temperature, wanted.prompt) == (None, 0.0, None)


@pytest.mark.parametrize(
    ("fields", "found"),
    [
        ([("language", "en")], {"language": "en"}),
        ([("languages[]", "en"), ("languages[]", "es")], {"languages": ("en", "es")}),
        ([("languages", "en"), ("languages[]", "en")], {"languages": ("en",), "language": "en"}),
        ([("temperature", "0.5")], {"temperature": 0.5}),
        ([("stream", "True")], {"stream": True}),
        ([("include[]", "logprobs")], {"logprobs": True}),
        ([("chunking_strategy", '{"type": "server_vad"}')], {}),
        ([("chunking_strategy[type]", "server_vad"), ("chunking_strategy[threshold]", "1")], {}),
        ([("keywords[]", "cat")], {"unheeded": ("keywords",)}),
        ([("prompt", "")], {"prompt": None}),
    ],
)
def test_fields_are_understood_as_the_clients_write_them(fields, found):
    wanted = asked([("model", "whisper"), *fields])

    assert {name: getattr(wanted, name) for name in found} == found


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ([], "model"),
        ([("model", "")], "model"),
        ([("model", "a"), ("model", "b")], "model"),
        ([("model", "a"), ("temperature", "nan")], "temperature"),
        ([("model", "a"), ("temperature", "-0.1")], "temperature"),
        ([("model", "a"), ("temperature", "warm")], "temperature"),
        ([("model", "a"), ("stream", "maybe")], "stream"),
        ([("model", "a"), ("response_format", "")], "response_format"),
        ([("model", "a"), ("include[]", "words")], "include"),
        ([("model", "a"), ("languages[]", "EN")], "languages"),
        ([("model", "a"), *[("languages[]", f"a{chr(97 + n)}") for n in range(21)]], "languages"),
        ([("model", "a"), ("chunking_strategy", "[]")], "chunking_strategy"),
        ([("model", "a"), ("\x1b[2J", "x")], "\x1b[2J"),
    ],
)
def test_the_first_wrong_field_is_named(fields, param):
    with pytest.raises(e.InvalidRequest) as refused:
        asked(fields)

    assert refused.value.context["param"] == param


@given(st.lists(st.tuples(st.text(max_size=12), st.text(max_size=12)), max_size=4))
def test_any_form_is_understood_or_refused(fields):
    try:
        asked(fields)
    except e.InvalidRequest as refused:
        assert failures.answer(refused).status_code == 400


def decided(answer, segment=0):
    step = Decision(segment, Task.TRANSCRIBE, answer.engine, Verdict.ACCEPT, "uncalibrated")
    return Decided(segment, answer, (step,))


def said(text, *, start_s=0.0, confidence=None, **more):
    words = tuple(
        Word(start_s + n, start_s + n + 0.5, word, confidence)
        for n, word in enumerate(text.split())
    )
    return Answer("first", Task.TRANSCRIBE, text, language="en", words=words, **more)


def heard(answers, **wanted):
    fields = [("model", "first"), *wanted.items()]
    witness = Witness(ACME, asked(fields), survey(len(answers)), NOW)
    return witness.transcript([decided(a, n) for n, a in enumerate(answers)])


def test_tokens_are_told_where_the_engine_gives_them():
    tokens = (Token("Hel", -0.1), Token("lo", -0.2))

    body, _ = rendered(heard([said("Hello", tokens=tokens)], **{"include[]": "logprobs"}))

    assert [(t["token"], t["logprob"]) for t in body["logprobs"]] == [("Hel", -0.1), ("lo", -0.2)]
    assert "warnings" not in body


def test_words_stand_in_for_tokens_and_that_is_said():
    transcript = heard([said("two words", confidence=0.25)], **{"include[]": "logprobs"})

    body, _ = rendered(transcript)

    assert [t["token"] for t in body["logprobs"]] == ["two", " words"]
    assert [exp(t["logprob"]) for t in body["logprobs"]] == pytest.approx([0.25, 0.25])
    assert transcript.logprobs_source == "words"
    assert [w["code"] for w in body["warnings"]] == ["logprobs_of_words"]


def test_half_known_probabilities_are_not_told():
    transcript = heard([said("a", confidence=0.5), said("b", start_s=10.0)])

    assert transcript.logprobs_source == "none"


def test_a_probability_of_nothing_has_a_finite_logarithm():
    [entry] = logprobs([said("x", confidence=0.0)])

    assert entry["logprob"] == log(1e-10)


def test_verbose_segments_carry_what_was_measured():
    measured = {"mean_logprob": -0.5, "no_speech_probability": 0.125}
    transcript = heard(
        [said("one two"), said("three four", start_s=10.0, signals=measured)],
        response_format="verbose_json",
    )

    first, second = rendered(transcript)[0]["segments"]

    assert (first["avg_logprob"], first["no_speech_prob"]) == (None, None)
    assert (second["avg_logprob"], second["no_speech_prob"]) == (-0.5, 0.125)
    assert (first["seek"], second["seek"]) == (0, 1000)
    assert [first["id"], second["id"]] == [0, 1]


def test_mean_log_probability_of_words_where_the_engine_gives_none():
    transcript = heard([said("a b", confidence=0.5)], response_format="verbose_json")

    assert rendered(transcript)[0]["segments"][0]["avg_logprob"] == pytest.approx(log(0.5))


def test_repetition_shows_in_the_compression_ratio():
    texts = ["the cat sat on the mat", " ".join(["again"] * 40)]
    transcript = heard([replace(said(t), words=()) for t in texts], response_format="verbose_json")

    plain, repeated = (s["compression_ratio"] for s in rendered(transcript)[0]["segments"])

    assert plain < 1.5 < 2.4 < repeated  # 2.4 is Whisper's own bar


def test_another_language_than_hinted_is_said():
    hints = heard([said("hola")], **{"languages": "es"})
    assert hints.warnings == []  # one language is told to the engine, not compared

    fields = [("model", "first"), ("languages[]", "es"), ("languages[]", "fr")]
    witness = Witness(ACME, asked(fields), survey(1), NOW)
    transcript = witness.transcript([decided(said("hello"))])

    assert [w["code"] for w in transcript.warnings] == ["language_unexpected"]


def test_unheeded_parameters_are_said():
    transcript = heard([said("hello")], **{"keywords[]": "cat"})

    assert [w["code"] for w in transcript.warnings] == ["parameter_unheeded"]


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (e.NotAudio(), 400, "not_audio"),
        (e.EmptyAudio(), 400, "empty_audio"),
        (e.AudioTooLong(), 413, "audio_too_long"),
        (e.ModelNotFound(), 404, "model_not_found"),
        (e.ServiceFull(retry_after_s=7), 429, "rate_limit_exceeded"),
        (e.EngineUnavailable(), 503, "engine_unavailable"),
        (e.DecoderDied(), 503, "decoder_died"),
        (e.ForgedTicket(), 403, "forged_ticket"),
        (e.WeightsRefused(), 500, "weights_refused"),
    ],
    ids=lambda value: getattr(value, "code", str(value)),
)
def test_failures_have_openais_shape_and_the_right_status(error, status, code):
    answer = failures.answer(error)

    assert answer.status_code == status
    assert failures.detail(error).code == code
    assert (failures.detail(error).param == "file") is isinstance(error, e.RefusedAudio)
    assert answer.headers.get("retry-after") == {429: "7", 503: "5"}.get(status)
