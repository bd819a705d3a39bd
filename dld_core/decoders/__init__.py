"""From the outputs of networks to text and back: CTC, character sets, maps of text, regions.

In: logits, maps, annotated words. Out: texts, losses and targets. Others call `ctc`, `charset`, `words`,
`targets`, `map_losses`, `roi_sampling`; attention stands with the spotter that has it.
"""
