"""What is done to images and their objects before a detector sees them."""
