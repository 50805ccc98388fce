"""What a head is trained towards: priors, coders of boxes and angles, assigners, samplers."""
