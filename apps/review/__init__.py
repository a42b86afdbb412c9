"""The review app: Streamlit pages, and a component that owns the canvas and the keyboard."""
