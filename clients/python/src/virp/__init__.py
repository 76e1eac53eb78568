"""Client of the VIRP platform. No evidence, no claim: see virp.client.act_only_on_confirmed."""

__version__ = "0.1.0"
