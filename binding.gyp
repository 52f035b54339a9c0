# A thin shim: `node-gyp rebuild` runs the same set-up as `npm run setup`, which builds with CMake.
{
  "targets": [
    {
      "target_name": "mnv2_torch_cmake",
      "type": "none",
      "actions": [
        {
          "action_name": "setup",
          "inputs": ["CMakeLists.txt"],
          "outputs": ["<(PRODUCT_DIR)/mnv2_torch.always"],
          "action": ["node", "scripts/setup.js"]
        }
      ]
    }
  ]
}
