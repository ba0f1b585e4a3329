"""Options with which ``counterfeit.fit`` goes through every stage of a run in half a minute."""

QUICK = (
    "--data.counterfeits=12", "--data.views=1", "--trainer.max_epochs=1", "--model.bank=64", "--seeds=[0]",
    "--experiment.arms=[real,placebo]", "--experiment.resamples=50", "--synthesis.count=8",
)  # fmt: skip
