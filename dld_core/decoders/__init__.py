"""Algorithms of text spotting that several backends and plugins need: CTC, regions, maps of text."""
