"""What several families are built from; nothing here is a network of its own."""
