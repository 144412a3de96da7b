"""From a model to a Bento that has answered, to an image, and to the same again."""
