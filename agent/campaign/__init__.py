"""The campaign: active learning picks, a person labels, the models get better (after ALLabel; docs/campaign.md)."""
