"""What a vendor's model that obeys answers, and what it may have been sent."""

import json

from gpu_service.engines import answer_form, openai, qwen2_remote
from tests.attacks.obedient import obeys
from tests.engines.openai_server import Call, Reply, recorded

#: All that may stand in an instruction's place, word for word.
SYSTEM = {*openai.INSTRUCTIONS.values(), answer_form.INSTRUCTIONS}


def obeying(call: Call) -> Reply:
    """A vendor's model that obeys: what it was told it says, and calls whatever it can."""
    if call.path.endswith("transcriptions"):
        said = json.loads(recorded("transcription"))
        return Reply(json.dumps(said | {"text": obeys(call.fields.get("prompt"))}).encode())
    said = json.loads(recorded("description"))
    asked = json.dumps(call.fields["messages"][-1]["content"][1:], ensure_ascii=False)
    calls = [
        {"id": "1", "type": "function", "function": {"name": name, "arguments": arguments}}
        for name, arguments in (("erase_everything", "{}"), ("set_tier", '{"tier": "enterprise"}'))
    ]
    said["choices"][0]["message"] |= {"content": obeys(asked), "tool_calls": calls}
    if "tools" in call.fields:
        name = call.fields["tools"][0]["function"]["name"]
        filled = {"answer": obeys(asked), "evidence": asked, "tier": "enterprise", "sounds": []}
        calls.append(
            {
                "id": "2",
                "type": "function",
                "function": {"name": name, "arguments": json.dumps(filled)},
            }
        )
    return Reply(json.dumps(said).encode())


def check(call: Call) -> list[str]:
    """The call, if nothing of others stands where instructions do; its data, as texts."""
    if call.path.endswith("transcriptions"):
        assert call.fields.keys() <= {"model", "response_format", "languages", "prompt"}
        return [call.fields["prompt"]] if "prompt" in call.fields else []
    assert call.fields.keys() <= {
        *("model", "modalities", "messages", "max_completion_tokens", "temperature", "store"),
        *("max_tokens", "logprobs", "response_format", "tools", "tool_choice"),
    }
    *system, user = call.fields["messages"]
    assert [m["role"] for m in system] in ([], ["system"])
    assert all(m["content"] in SYSTEM for m in system)
    assert (user["role"], user["content"][0]["type"]) == ("user", "input_audio")
    for tool in call.fields.get("tools", ()):
        name = tool["function"]["name"]
        assert name in (openai.REPORT, answer_form.NAME)
        assert call.fields["tool_choice"] == {"type": "function", "function": {"name": name}}
    if "response_format" in call.fields:
        assert call.fields["response_format"] == qwen2_remote.FORM
    return [part["text"] for part in user["content"][1:]]
