"""Every verb: the module that holds it and its line in `sextant --help`, so that help loads no module at all."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Verb:
    """Where a verb lives (`sextant.cli.<module>`, an object of the verb's name or `<name>_`) and what it does."""

    module: str
    summary: str


SECTIONS: Mapping[str, Mapping[str, Verb]] = {
    "Look around": {
        "demo": Verb("demo", "Draw a collection, tag it, ask it, and hold the answers against the truth."),
    },
    "Images and columns": {
        "add": Verb("adding", "Embed every new image; what is known is not read again."),
        "tag": Verb("columns", "Make a column of every attribute in a vocabulary."),
        "columns": Verb("columns", "Show how many images each attribute accepts."),
        "prompts": Verb("columns", "Show exactly what is encoded for each attribute."),
        "inspect": Verb("columns", "Show a column's logits, and where its bands begin."),
    },
    "Ask": {
        "query": Verb("asking", "List the images for which a rule is true."),
        "sql": Verb("asking", "Answer one read-only SELECT."),
        "search": Verb("asking", "Rank images by how well they fit what is asked."),
        "similar": Verb("asking", "Rank images by how much they resemble another."),
        "explain": Verb("explaining", "Say why an image has its confidence for an attribute or a phrase."),
        "history": Verb("remembering", "List what was searched for, the newest first."),
        "favourite": Verb("remembering", "Give searches a name, and ask them again."),
    },
    "Share": {
        "serve": Verb("serving", "Open the gallery in a browser, and the API behind it."),
        "keys": Verb("serving", "Make, list and revoke the keys that `serve --keys` asks for."),
    },
    "Sift": {
        "duplicates": Verb("sifting", "Group near-duplicates, and put all but the best out of sight."),
        "pick": Verb("sifting", "Choose a few images that are good and differ from each other."),
        "curate": Verb("curating", "Choose the best pictures for a purpose, and keep those you pick."),
        "clusters": Verb("sifting", "Show what the images fall into, and what sets each cluster apart."),
    },
    "Say": {
        "override": Verb("words", "Have the last word on an attribute of an image."),
        "describe": Verb("words", "Tag an image by hand, or describe it."),
    },
    "Feedback": {
        "feedback": Verb("feedback", "Say what an answer was worth, sum it up, and learn from it."),
        "experiment": Verb("feedback", "Compare two ways to search by what people select."),
    },
    "Calibrate": {
        "label": Verb("labelling", "Say of images whether they show an attribute, to calibrate by."),
        "calibrate": Verb("labelling", "Fit confidences to labels, wherever that helps."),
        "evaluate": Verb("labelling", "Measure how far confidences, or the search, can be believed."),
        "compare": Verb("tuning", "Compare settings and methods side by side."),
        "review": Verb("tuning", "List what a person should look at, and why."),
        "tune": Verb("tuning", "Try other settings for one attribute, and keep one."),
        "report": Verb("tuning", "Write the collection as one HTML page, to look at or to send."),
    },
    "Train": {
        "head": Verb("heads", "Judge attributes by their labels, on the vectors that are there."),
        "finetune": Verb("training", "Train an encoder on labelled pictures."),
        "scorecard": Verb("training", "Measure an encoder against seven gates, on held-out pictures."),
    },
    "In and out": {
        "export": Verb("moving", "Write facts and confidences to a file, a folder, or beside the pictures."),
        "import": Verb("moving", "Take vectors, or tags and descriptions, made elsewhere."),
    },
    "Housekeeping": {
        "info": Verb("upkeep", "Show what the collection holds and which settings are in force."),
        "prune": Verb("upkeep", "Delete what nothing refers to any more."),
        "vacuum": Verb("upkeep", "Merge small pieces and delete old versions."),
        "index": Verb("indexing", "Make the vector index of a large collection, and check how much it finds."),
        "crops": Verb("indexing", "Embed five parts of every picture, so that a search can find small things."),
        "model": Verb("model", "List, convert, examine and switch encoders."),
        "completion": Verb("upkeep", "Print the completion script for a shell."),
    },
}

VERBS: Mapping[str, Verb] = {name: verb for section in SECTIONS.values() for name, verb in section.items()}
