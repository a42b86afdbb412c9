"""Where masks fail: groups of masks that fail alike, found on half of the images and tested on the other half.

`finding.find` searches a lake and keeps what it finds; `clusters` reads and writes what is kept and what became of it;
`search` is the search itself, on arrays.
"""
