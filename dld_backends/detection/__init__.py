"""What both spotters share to find words: trunk, pretrained starts, batches of images.

In: images. Out: feature maps. Others call `backbone`, `images`.
"""
