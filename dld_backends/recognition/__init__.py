"""What the spotters share: sampling regions, encoding them, and decoding the states into text."""
