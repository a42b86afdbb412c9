"""One view a module; each answers one question. `apps.review.app` lists them."""
