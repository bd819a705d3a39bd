"""`dld doctor`: what is installed, what is missing or broken, and the fix."""
