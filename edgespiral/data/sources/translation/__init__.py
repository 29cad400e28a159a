"""Sentences in two languages, as token ids of two vocabularies."""

from edgespiral.data.sources.translation.reader import load_translation

PLUGIN = load_translation
