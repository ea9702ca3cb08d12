"""Other APIs whose requests are answered here, each in a module: translated at the edge, one path behind.

base         the base of a dialect; the chat API, which needs no translation
completions  OpenAI's `/v1/completions`
responses    OpenAI's `/v1/responses`
messages     Anthropic's `/v1/messages`
"""
