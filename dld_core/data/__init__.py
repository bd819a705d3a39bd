"""Training and test data: annotation formats in and out, the page renderer, data sets and augmentation."""
