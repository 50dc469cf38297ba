"""The seeds' four operations under the field's names: transcribe, classify, describe, answer."""
