/*
Intervals that also know how well they know their variance. Where few images hold all that goes wrong (a
share near 1), the variance over images is itself uncertain; the kurtosis of the images' residuals tells by
how much, and Student's t gets as many degrees of freedom as that leaves. `benchmarks/intervals.py` shows
what it gains.

    ratio_moments(y, x)            aggregate over rows of one image each: ratio_sums with fourth moments
    share_interval_of_moments(m)   a share (0 <= y <= x): {share, low, high, n_images, n_units, effective_n}
    mean_interval_of_moments(m)    a mean: {mean, low, high, n_images, n_units, variance}

As in intervals.sql: two-sided 95 %, images with x = 0 do not count, one image has no bounds.

Source: Satterthwaite, Biometrics Bulletin 2 (1946): a variance estimate V with variance Var(V) has
2 V^2 / Var(V) degrees of freedom; the variance of a mean of n squares is (kurtosis - 1) / n times its square.
*/
-- The linter takes the parameters of a macro for types.
-- noqa: disable=CP05

CREATE OR REPLACE TEMP MACRO ratio_moments(y, x) AS {
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

-- Kurtosis of the residuals y - r x over images; 1 where they do not differ.
CREATE OR REPLACE TEMP MACRO residual_kurtosis(m, r) AS CASE
    WHEN residual_squares(m, r) > 0
        THEN m.n_images * (
            m.sum_yyyy
            - 4 * r * m.sum_xyyy
            + 6 * r ^ 2 * m.sum_xxyy
            - 4 * r ^ 3 * m.sum_xxxy
            + r ^ 4 * m.sum_xxxx
        ) / residual_squares(m, r) ^ 2
    ELSE 1
END;

-- Whole degrees of freedom, 1 to n_images - 1.
CREATE OR REPLACE TEMP MACRO residual_freedom(m, kurtosis) AS floor(
    greatest(
        1,
        least(
            m.n_images - 1,
            CASE WHEN kurtosis > 1 + 1e-12 THEN 2 * m.n_images / (kurtosis - 1) ELSE m.n_images END
        )
    )
);

-- As `ratio_estimate`, with that quantile.
CREATE OR REPLACE TEMP MACRO moment_estimate(m) AS list_transform(
    [ratio_estimate(m)],
    LAMBDA e: {
        's': e.s,
        'r': e.r,
        'v': e.v,
        't': CASE
            WHEN m.n_images > 1 THEN student_t_975(residual_freedom(m, residual_kurtosis(m, e.r)))
        END
    }
)[1];

CREATE OR REPLACE TEMP MACRO share_interval_of_moments(m) AS list_transform(
    list_transform([moment_estimate(m)], LAMBDA e: { 'e': e, 'n': effective_n(e) }),
    LAMBDA p: {
        'share': p.e.r,
        'low': wilson_bound(p.e.r, p.n, p.e.t, -1),
        'high': wilson_bound(p.e.r, p.n, p.e.t, 1),
        'n_images': p.e.s.n_images,
        'n_units': p.e.s.sum_x::BIGINT,
        'effective_n': p.n
    }
)[1];

CREATE OR REPLACE TEMP MACRO mean_interval_of_moments(m) AS list_transform(
    [moment_estimate(m)],
    LAMBDA e: {
        'mean': e.r,
        'low': e.r - e.t * sqrt(e.v),
        'high': e.r + e.t * sqrt(e.v),
        'n_images': e.s.n_images,
        'n_units': e.s.sum_x::BIGINT,
        'variance': e.v
    }
)[1];
