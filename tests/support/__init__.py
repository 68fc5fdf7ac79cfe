"""What several tests share: servers, fakes, a simulated AWS and modules that travel."""
