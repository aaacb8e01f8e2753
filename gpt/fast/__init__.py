"""The same functions again, faster. A test holds each equal to its plain original in gpt/."""
