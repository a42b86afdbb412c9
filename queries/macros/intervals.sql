/*
Intervals that take the image as the cluster. Masks of one image resemble each other, so a figure over
masks is a ratio of two totals over images: R = sum(y) / sum(x), where y and x are sums over one image.

    ratio_sums(y, x)   aggregate over rows of one image each: all that the intervals need, as a STRUCT
    share_interval(s)  a share (0 <= y <= x): {share, low, high, n_images, n_units, effective_n}
    mean_interval(s)   a mean: {mean, low, high, n_images, n_units}
    band_sums(b, t)    the sums of one band of a histogram: y of the band, x of all bands
    difference_interval(s, p, covariance)   s minus p: {difference, low, high}
    ratio_residual(s, y, x)   of one image; the covariance is the sum over images of both residuals' product

All intervals are two-sided 95 %. Images with x = 0 say nothing and do not count. No image gives NULL
all over; one image gives the estimate with NULL bounds, because nothing shows how much images differ.
Where few images hold all that goes wrong (a share near 1), the variance over images is itself uncertain:
the kurtosis of the images' residuals tells by how much, and Student's t gets as many degrees of freedom as
that leaves. `benchmarks/intervals.py` shows by simulation how often the intervals hold the truth.

Sources: the ratio and its linearised variance, Cochran, Sampling Techniques (1977), chapter 6; the
effective sample size of a share, Korn and Graubard, Survey Methodology 24 (1998); the score interval,
Wilson, JASA 22 (1927); the degrees of freedom 2 V^2 / Var(V) of a variance estimate V, Satterthwaite,
Biometrics Bulletin 2 (1946), where the variance of a mean of n squares is (kurtosis - 1) / n times its
square; the expansion of Student's t, Abramowitz and Stegun (1964), 26.7.5.
*/
-- The linter takes the parameters of a macro for types.
-- noqa: disable=CP05

CREATE OR REPLACE TEMP MACRO ratio_sums(y, x) AS {
    'n_images': count(*) FILTER (WHERE x > 0),
    'sum_y': coalesce(sum(y), 0)::DOUBLE,
    'sum_x': coalesce(sum(x), 0)::DOUBLE,
    'sum_yy': coalesce(sum(y::DOUBLE * y), 0),
    'sum_xy': coalesce(sum(x::DOUBLE * y), 0),
    'sum_xx': coalesce(sum(x::DOUBLE * x), 0),
    'sum_yyyy': coalesce(sum(y::DOUBLE * y * y * y), 0),
    'sum_xyyy': coalesce(sum(x::DOUBLE * y * y * y), 0),
    'sum_xxyy': coalesce(sum(x::DOUBLE * x * y * y), 0),
    'sum_xxxy': coalesce(sum(x::DOUBLE * x * x * y), 0),
    'sum_xxxx': coalesce(sum(x::DOUBLE * x * x * x), 0)
};

-- The 97.5 % quantile: a table up to 10 degrees of freedom, beyond it an expansion (error under 1e-5).
CREATE OR REPLACE TEMP MACRO student_t_975(df) AS coalesce(
    [
        12.706205, 4.302653, 3.182446, 2.776445, 2.570582, 2.446912, 2.364624, 2.306004, 2.262157, 2.228139
    ][df::INTEGER]::DOUBLE,
    1.959963985 + 2.372271230 / df + 2.822501608 / df ^ 2 + 2.555852106 / df ^ 3 + 1.589534118 / df ^ 4
);

-- Sum over images of (y - r x)^2; what rounding alone could leave of it counts as 0.
CREATE OR REPLACE TEMP MACRO residual_squares(s, r) AS CASE
    WHEN s.sum_yy - 2 * r * s.sum_xy + r * r * s.sum_xx > 1e-12 * s.sum_yy
        THEN s.sum_yy - 2 * r * s.sum_xy + r * r * s.sum_xx
    ELSE 0
END;

-- Kurtosis of the residuals y - r x over images, whose sum of squares is given; 1 where they do not differ.
CREATE OR REPLACE TEMP MACRO residual_kurtosis(s, r, squares) AS CASE
    WHEN squares > 0
        THEN s.n_images * (
            s.sum_yyyy
            - 4 * r * s.sum_xyyy
            + 6 * r ^ 2 * s.sum_xxyy
            - 4 * r ^ 3 * s.sum_xxxy
            + r ^ 4 * s.sum_xxxx
        ) / squares ^ 2
    ELSE 1
END;

-- Whole degrees of freedom, 1 to n_images - 1.
CREATE OR REPLACE TEMP MACRO residual_freedom(n_images, kurtosis) AS floor(
    greatest(
        1,
        least(
            n_images - 1,
            CASE WHEN kurtosis > 1 + 1e-12 THEN 2 * n_images / (kurtosis - 1) ELSE n_images END
        )
    )
);

-- What both intervals start from: the sums, the ratio r, its variance v, and the quantile t. In steps,
-- because a macro repeats its arguments as written: at once, planning takes longer than most reports.
CREATE OR REPLACE TEMP MACRO ratio_estimate(s) AS list_transform(
    list_transform(
        list_transform(
            list_transform(
                [{ 's': s, 'r': s.sum_y / nullif(s.sum_x, 0) }],
                LAMBDA e: { 's': e.s, 'r': e.r, 'squares': residual_squares(e.s, e.r) }
            ),
            LAMBDA e: {
                's': e.s,
                'r': e.r,
                'v': CASE
                    WHEN e.s.n_images > 1 THEN e.s.n_images / (e.s.n_images - 1) * e.squares / e.s.sum_x ^ 2
                END,
                'kurtosis': residual_kurtosis(e.s, e.r, e.squares)
            }
        ),
        LAMBDA e: { 's': e.s, 'r': e.r, 'v': e.v, 'df': residual_freedom(e.s.n_images, e.kurtosis) }
    ),
    LAMBDA e: {
        's': e.s,
        'r': e.r,
        'v': e.v,
        't': CASE WHEN e.s.n_images > 1 THEN student_t_975(e.df) END
    }
)[1];

-- So many independent units would give the same variance. At most the units that there are; and where
-- images do not differ at all (as when every mask is good) only the images count, nothing shows more.
CREATE OR REPLACE TEMP MACRO effective_n(e) AS CASE
    WHEN e.v > 0 THEN least(e.r * (1 - e.r) / e.v, e.s.sum_x)
    WHEN e.v = 0 THEN e.s.n_images
END;

-- `greatest` and `least` alone would turn NULL into a bound.
CREATE OR REPLACE TEMP MACRO clamp(value, low, high) AS CASE
    WHEN value IS NOT NULL THEN greatest(low, least(high, value))
END;

-- A bound of Wilson's score interval: share r out of n at the quantile t, lower (-1) or upper (1).
CREATE OR REPLACE TEMP MACRO wilson_bound(r, n, t, side) AS CASE
    -- At the end of the scale it is that end; rounding would leave 1e-17.
    WHEN t > 0 AND r = (1 + side) / 2 THEN r
    ELSE clamp(
        (r + t * t / (2 * n) + side * t * sqrt(greatest(r * (1 - r), 0) / n + t * t / (4 * n * n)))
        / (1 + t * t / n),
        0,
        1
    )
END;

CREATE OR REPLACE TEMP MACRO share_interval(s) AS list_transform(
    list_transform([ratio_estimate(s)], LAMBDA e: { 'e': e, 'n': effective_n(e) }),
    LAMBDA p: {
        'share': p.e.r,
        'low': wilson_bound(p.e.r, p.n, p.e.t, -1),
        'high': wilson_bound(p.e.r, p.n, p.e.t, 1),
        'n_images': p.e.s.n_images,
        'n_units': p.e.s.sum_x::BIGINT,
        'effective_n': p.n
    }
)[1];

CREATE OR REPLACE TEMP MACRO mean_interval(s) AS list_transform(
    [ratio_estimate(s)],
    LAMBDA e: {
        'mean': e.r,
        'low': e.r - e.t * sqrt(e.v),
        'high': e.r + e.t * sqrt(e.v),
        'n_images': e.s.n_images,
        'n_units': e.s.sum_x::BIGINT
    }
)[1];

-- Images without masks in the band add nothing to its sums of y, but they count in n and in the sums of x.
CREATE OR REPLACE TEMP MACRO band_sums(band, totals) AS {
    'n_images': totals.n_images,
    'sum_y': coalesce(band.sum_y, 0),
    'sum_x': totals.sum_x,
    'sum_yy': coalesce(band.sum_yy, 0),
    'sum_xy': coalesce(band.sum_xy, 0),
    'sum_xx': totals.sum_xx,
    'sum_yyyy': coalesce(band.sum_yyyy, 0),
    'sum_xyyy': coalesce(band.sum_xyyy, 0),
    'sum_xxyy': coalesce(band.sum_xxyy, 0),
    'sum_xxxy': coalesce(band.sum_xxxy, 0),
    'sum_xxxx': totals.sum_xxxx
};

CREATE OR REPLACE TEMP MACRO ratio_residual(s, y, x) AS sqrt(s.n_images / nullif(s.n_images - 1, 0))
* (coalesce(y, 0) - s.sum_y / nullif(s.sum_x, 0) * coalesce(x, 0)) / nullif(s.sum_x, 0);

-- Two ratios that may share images. The fewer degrees of freedom of the two count: cautious.
CREATE OR REPLACE TEMP MACRO difference_interval(s, p, covariance) AS list_transform(
    list_transform(
        [{ 'a': ratio_estimate(s), 'b': ratio_estimate(p), 'c': coalesce(covariance, 0) }],
        LAMBDA d: {
            'difference': d.a.r - d.b.r,
            'half': CASE WHEN d.a.t > 0 AND d.b.t > 0 THEN greatest(d.a.t, d.b.t) END
            * sqrt(greatest(d.a.v + d.b.v - 2 * d.c, 0))
        }
    ),
    LAMBDA d: { 'difference': d.difference, 'low': d.difference - d.half, 'high': d.difference + d.half }
)[1];
