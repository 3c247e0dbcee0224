"""Agreement of predictions with known values."""

from scipy import stats


def pcc(predicted, known):
    """Pearson's correlation coefficient of two vectors, -1 to 1; NaN where one of them is constant."""
    return float(stats.pearsonr(predicted, known).statistic)


def srcc(predicted, known):
    """Spearman's rank correlation coefficient of two vectors, -1 to 1; NaN where one of them is constant."""
    return float(stats.spearmanr(predicted, known).statistic)
