"""Methods as values: objective, stages, schedules, stop rules, views, line search, presets."""
