"""Verifiers: models that learn from people's verdicts and from gold which masks are good.

`learning` fits one, `scoring` scores masks with it, `card` says how good it is, `stored` keeps it in the lake.
Other methods than gradient boosting plug in through `methods`.
"""
