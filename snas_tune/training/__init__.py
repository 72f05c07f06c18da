"""Training: batches, augmentation, precision and evaluation of any ``nn.Module`` on images."""
