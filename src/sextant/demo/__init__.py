"""The demo: pictures drawn with known truth, and the embedded encoder that knows their world."""
