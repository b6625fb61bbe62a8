"""Images, from what a user has to arrays: checked, decoded, resized."""
