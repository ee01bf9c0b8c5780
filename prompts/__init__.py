"""Versioned prompt templates, one folder a step, and the loader that renders them."""

from prompts.loader import STEPS, Prompt, Template, catalogue, load, reference
from prompts.render import CandidateView, DemonstrationView, EntityView, LabelView, render, window

__all__ = [
    "STEPS",
    "CandidateView",
    "DemonstrationView",
    "EntityView",
    "LabelView",
    "Prompt",
    "Template",
    "catalogue",
    "load",
    "reference",
    "render",
    "window",
]
