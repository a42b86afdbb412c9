/*
Thresholds as the generator applies them: in single precision, and 0 switches one off.

    clears(value, threshold, is_strict)             whether the value is above it, or (not strict) on it
    highest_cleared(value, thresholds, is_strict)   the highest of at most 8 that it clears; NULL for none

A chain of comparisons is several times as fast as a lambda over the list.
*/
-- The linter takes the parameters of a macro for types.
-- noqa: disable=CP05

CREATE OR REPLACE TEMP MACRO clears(value, threshold, is_strict) AS threshold = 0
OR value > threshold::FLOAT
OR (NOT is_strict AND value = threshold::FLOAT);

CREATE OR REPLACE TEMP MACRO highest_cleared(value, thresholds, is_strict) AS CASE
    WHEN len(thresholds) > 8
        THEN error(concat(len(thresholds), ' thresholds; at most 8 are allowed: leave some out'))
    WHEN clears(value, list_sort(thresholds)[8], is_strict) THEN list_sort(thresholds)[8]
    WHEN clears(value, list_sort(thresholds)[7], is_strict) THEN list_sort(thresholds)[7]
    WHEN clears(value, list_sort(thresholds)[6], is_strict) THEN list_sort(thresholds)[6]
    WHEN clears(value, list_sort(thresholds)[5], is_strict) THEN list_sort(thresholds)[5]
    WHEN clears(value, list_sort(thresholds)[4], is_strict) THEN list_sort(thresholds)[4]
    WHEN clears(value, list_sort(thresholds)[3], is_strict) THEN list_sort(thresholds)[3]
    WHEN clears(value, list_sort(thresholds)[2], is_strict) THEN list_sort(thresholds)[2]
    WHEN clears(value, list_sort(thresholds)[1], is_strict) THEN list_sort(thresholds)[1]
END;
