"""OpenAI's audio API, spoken by the GPU service: any client of theirs works unchanged.

Source: OpenAI, "API reference", section "Audio", as typed in openai-python 3.54. What is ours
beyond it stands in further keys (`warnings`) and in headers `x-earwitness-…`.
"""
