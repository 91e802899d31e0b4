"""Stores the model in MLflow as plain files; whether it may serve is for the next stage to say."""
