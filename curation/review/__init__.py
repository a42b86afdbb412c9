"""The engine of the review: which mask comes to whom, what people said of it, and how far they can be trusted."""
