"""Engines: what writes text (`hf`, `scripted`) and their protocols. One file per engine; heavy imports stay inside it."""
