"""Where images come from, and how they become batches. tf.data is imported only where it is used."""
