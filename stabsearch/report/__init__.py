"""Turns the numbers of a sweep into what people read: terminal, Markdown, HTML, pictures, files."""
