"""What users do with files between endpoints: the verbs, without their words."""
