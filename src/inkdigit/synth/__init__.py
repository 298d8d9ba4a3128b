"""Images that are drawn here: digits, letters, signs, prints, and what is not a digit."""
