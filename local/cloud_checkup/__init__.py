"""What `earwitness doctor --backend gcp` looks at in a project, and what it should find there.

It reads. The one thing it does is ring a lane once (`push`): nothing else proves that a push of
Google's, signed by Google, is taken for ours.
"""
