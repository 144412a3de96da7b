"""From rows to a judged model: split, tune, train, evaluate, gate."""
