/*
Bands that masks and images are compared by, as {place, name}: places order them. NULL where nothing is known.

    size_band(area_px)           COCO's: small below 32 x 32 px, medium below 96 x 96 px, large
    crowdedness_band(c)          mean number of other masks whose boxes meet a mask's: below 2, below 10, more
    score_band(score)            predicted IoU, in steps that narrow towards 1
    border_band(bbox_xywh, w, h) whether a box [x, y, w, h] reaches the border of an image of w x h px
    level_band(level)            whole, part or subpart
*/
-- The linter takes the parameters of a macro for types.
-- noqa: disable=CP05

CREATE OR REPLACE TEMP MACRO size_band(area_px) AS CASE
    WHEN area_px < 1024 THEN { 'place': 1, 'name': 'small (< 32² px)' }
    WHEN area_px < 9216 THEN { 'place': 2, 'name': 'medium (< 96² px)' }
    WHEN area_px >= 9216 THEN { 'place': 3, 'name': 'large (≥ 96² px)' }
END;

CREATE OR REPLACE TEMP MACRO crowdedness_band(crowdedness) AS CASE
    WHEN crowdedness < 2 THEN { 'place': 1, 'name': 'sparse (< 2)' }
    WHEN crowdedness < 10 THEN { 'place': 2, 'name': 'busy (2 to 10)' }
    WHEN crowdedness >= 10 THEN { 'place': 3, 'name': 'crowded (≥ 10)' }
END;

CREATE OR REPLACE TEMP MACRO score_band(score) AS CASE
    WHEN score < 0.70 THEN { 'place': 1, 'name': 'below 0.70' }
    WHEN score < 0.80 THEN { 'place': 2, 'name': '0.70 to 0.80' }
    WHEN score < 0.90 THEN { 'place': 3, 'name': '0.80 to 0.90' }
    WHEN score < 0.95 THEN { 'place': 4, 'name': '0.90 to 0.95' }
    WHEN score >= 0.95 THEN { 'place': 5, 'name': '0.95 and more' }
END;

CREATE OR REPLACE TEMP MACRO border_band(bbox_xywh, width_px, height_px) AS CASE
    WHEN
        bbox_xywh[1] = 0
        OR bbox_xywh[2] = 0
        OR bbox_xywh[1] + bbox_xywh[3] = width_px
        OR bbox_xywh[2] + bbox_xywh[4] = height_px
        THEN { 'place': 1, 'name': 'touches the border' }
    WHEN bbox_xywh IS NOT NULL THEN { 'place': 2, 'name': 'inside' }
END;

CREATE OR REPLACE TEMP MACRO level_band(level) AS CASE level
    WHEN 'whole' THEN { 'place': 1, 'name': 'whole' }
    WHEN 'part' THEN { 'place': 2, 'name': 'part' }
    WHEN 'subpart' THEN { 'place': 3, 'name': 'subpart' }
END;
